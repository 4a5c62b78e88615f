from fastcore.core_send import CoreSend

class CoreSteps(CoreSend):
    def has_booked(self, trade_id: int, side: int) -> bool: ...
