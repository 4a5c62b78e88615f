from engine.gateway.hotsend import HotSend

class HotRead(HotSend):
    steps: int
    busy_ns: int
