from fastcore.core_state import CoreState

class CoreSend(CoreState):
    @property
    def wanted_hedge(self) -> tuple[int, int, int, int] | None: ...
