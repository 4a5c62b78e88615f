"""Messages of Bybit v5 as its documentation has them, on our instrument, for decoder tests."""

PREFIX = "tm0123abcd-01-"
LINEAR = ("BTCUSDT", "0.10", "0.001", PREFIX, "linear", "BTC", "USDT")
SPOT = ("BTCUSDT", "0.1", "0.000001", PREFIX, "spot", "BTC", "USDT")

SAMPLES = {
    "snapshot": (
        b'{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":'
        b'"BTCUSDT","b":[["16493.50","0.006"],["16493.00","0.100"]],"a":[["16611.00","0.029"],'
        b'["16612.00","0.213"]],"u":18521288,"seq":7961638724},"cts":1672304484976}'
    ),
    "delta": (
        b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1687940967466,"data":{"s":'
        b'"BTCUSDT","b":[["30247.20","30.028"],["30240.00","0"]],"a":[["30248.70","0"],'
        b'["30249.30","0.892"]],"u":177400507,"seq":66544703342},"cts":1687940967464}'
    ),
    "best": (
        b'{"topic":"orderbook.1.BTCUSDT","ts":1672304484978,"type":"snapshot","data":{"s":'
        b'"BTCUSDT","b":[["16493.50","0.006"]],"a":[["16611.00","0.029"]],"u":9,"seq":7},'
        b'"cts":1672304484976}'
    ),
    "trades": (
        b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":['
        b'{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick",'
        b'"i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"RPI":true,"seq":1783284617},'
        b'{"i":"f1","T":1672304486866,"p":"16578.0","v":"0.020","S":"Sell","seq":1783284618,'
        b'"s":"BTCUSDT","BT":true,"RPI":false}]}'
    ),
    "order": (
        b'{"id":"5923240c6880ab-c59f-420b-9adb-3639adc9dd90","topic":"order","creationTime":'
        b'1672364262474,"data":[{"category":"linear","symbol":"BTCUSDT","orderId":'
        b'"5cf98598-39a7-459e-97bf-76ca765ee020","orderLinkId":"tm0123abcd-01-00000000002a",'
        b'"side":"Buy","orderType":"Limit","timeInForce":"GTC","price":"30000","qty":"0.010",'
        b'"orderStatus":"New","cancelType":"UNKNOWN","rejectReason":"EC_NoError","avgPrice":"",'
        b'"leavesQty":"0.010","leavesValue":"300","cumExecQty":"0","cumExecValue":"0",'
        b'"cumExecFee":"0","cumFeeDetail":{},"closedPnl":"0","feeCurrency":"","positionIdx":0,'
        b'"isLeverage":"","stopOrderType":"","triggerPrice":"","triggerDirection":0,'
        b'"reduceOnly":false,"closeOnTrigger":false,"placeType":"","smpType":"None","smpGroup":0,'
        b'"createType":"CreateByUser","createdTime":"1672364262444",'
        b'"updatedTime":"1672364262457","rpiTakerAccess":false,"rpiMatchedQty":"0"}]}'
    ),
    "execution": (
        b'{"topic":"execution","id":"386825804_BTCUSDT_140612148849382","creationTime":'
        b'1746270400355,"data":[{"category":"linear","symbol":"BTCUSDT","closedSize":"0.5",'
        b'"execFee":"26.3725275","execId":"0ab1bdf7-4219-438b-b30a-32ec863018f7","execPrice":'
        b'"95900.1","execQty":"0.3","execType":"Trade","execValue":"47950.05","feeRate":'
        b'"0.00055","markPrice":"95901.48","indexPrice":"","leavesQty":"0.1","orderId":'
        b'"9aac161b-8ed6-450d-9cab-c5cc67c21784","orderLinkId":"tm0123abcd-01-00000000002a",'
        b'"orderPrice":"94942.5","orderQty":"0.5","orderType":"Limit","stopOrderType":"UNKNOWN",'
        b'"side":"Sell","execTime":"1746270400353","isLeverage":"0","isMaker":true,'
        b'"seq":140612148849382,"execPnl":"0.05","feeCurrency":"USDT"}]}'
    ),
    "fast_execution": (
        b'{"topic":"execution.fast","creationTime":1716800399338,"data":[{"category":"linear",'
        b'"symbol":"BTCUSDT","execId":"3510f361-0add-5c7b-a2e7-9679810944fc","execPrice":'
        b'"12015","execQty":"3","orderId":"443d63fa-b4c3-4297-b7b1-23bca88b04dc","isMaker":'
        b'false,"orderLinkId":"","side":"Sell","execTime":"1716800399334","seq":34771365464}]}'
    ),
    "position": (
        b'{"id":"1003076014fb7eedb","topic":"position","creationTime":1762199126022,"data":['
        b'{"positionIdx":0,"tradeMode":0,"riskId":11,"symbol":"BTCUSDT","side":"Sell","size":'
        b'"0.01","entryPrice":"3641.075","leverage":"30","positionValue":"36.42075",'
        b'"unrealisedPnl":"-0.00255","updatedTime":"1762199125472","category":"linear",'
        b'"positionStatus":"Normal","seq":325852190774,"isReduceOnly":false}]}'
    ),
    "wallet": (
        b'{"id":"592324d2bce751","topic":"wallet","creationTime":1700034722104,"data":['
        b'{"accountType":"UNIFIED","totalEquity":"10262.91335023","coin":[{"coin":"BTC",'
        b'"walletBalance":"0.1"},{"coin":"USDT","equity":"10226.2","walletBalance":"9647.7",'
        b'"availableToBorrow":"","bonus":"0","collateralSwitch":true,"locked":"0"}]}]}'
    ),
    "reply": (
        b'{"reqId":"100000000002a-0191346a2179","retCode":0,"retMsg":"OK","op":"order.create",'
        b'"data":{"orderId":"a4c1718e-fe53-4659-a118-1f6ecce04ad9","orderLinkId":'
        b'"tm0123abcd-01-00000000002a"},"retExtInfo":{},"header":{"X-Bapi-Limit":"10",'
        b'"X-Bapi-Limit-Status":"9","Timenow":"1711001595209"},"connId":"cnt5leec0hvan15eukcg-2v"}'
    ),
    "refused": (
        b'{"reqId":"5ffffffffffff-0191346a2179","retCode":170131,"retMsg":"Insufficient '
        b'balance.","op":"order.amend","data":{},"header":{"Timenow":"1"},"connId":"c"}'
    ),
    "batch": (
        b'{"reqId":"7000000000001-0191346a2179","retCode":0,"retMsg":"OK","op":'
        b'"order.create-batch","data":{"list":[{"category":"linear","symbol":"BTCUSDT",'
        b'"orderId":"1523347543495541248","orderLinkId":"tm0123abcd-01-000000000001",'
        b'"createAt":"1"},{"category":"linear","symbol":"BTCUSDT","orderId":"",'
        b'"orderLinkId":"tm0123abcd-01-000000000002","createAt":""},{"category":"linear",'
        b'"symbol":"BTCUSDT","orderId":"","orderLinkId":"batch-002","createAt":""}]},'
        b'"retExtInfo":{"list":[{"code":0,"msg":"OK"},{"code":10001,"msg":"position idx not '
        b'match position mode"},{"code":10006,"msg":"Too many visits!"}]},"connId":"c"}'
    ),
    "subscribed": b'{"success":true,"ret_msg":"","conn_id":"3cd8","req_id":"","op":"subscribe"}',
    "spot_subscribed": (
        b'{"success":true,"ret_msg":"subscribe","conn_id":"2324","req_id":"1","op":"subscribe"}'
    ),
    "not_subscribed": (
        b'{"success":false,"ret_msg":"Invalid topic: x","conn_id":"a","op":"subscribe"}'
    ),
    "unsubscribed": (
        b'{"success":true,"ret_msg":"","conn_id":"a","req_id":"x","op":"unsubscribe"}'
    ),
    "authenticated": b'{"retCode":0,"retMsg":"OK","op":"auth","connId":"cnt5leec0hvan15eukcg-2t"}',
    "not_authenticated": (
        b'{"op":"auth","success":false,"retCode":10003,"retMsg":"Invalid apikey","connId":"a"}'
    ),
    "ping": b'{"success":true,"ret_msg":"pong","conn_id":"a","req_id":"100001","op":"ping"}',
    "pong": b'{"req_id":"test","op":"pong","args":["1675418560633"],"conn_id":"a"}',
    "trade_pong": b'{"retCode":0,"retMsg":"OK","op":"pong","data":["1711002002529"],"connId":"a"}',
    "tickers": (
        b'{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","bid1Price":'
        b'"65114.20","bid1Size":"6.054"},"cs":753843907770,"ts":1786310817883}'
    ),
    "kline": (
        b'{"type":"snapshot","topic":"kline.1.BTCUSDT","data":[{"start":1786310760000,"interval":'
        b'"1","open":"65140.4","confirm":false}],"ts":1786310816562}'
    ),
}

NOT_OURS = [
    b"null", b"7", b'""', b'"test-005"', b'"800000000002a"', b'"000000000002a"',
    b'"100000000002A"', b'"100000000002a0"', b'"100000000002a_0191346a2179"',
    b'"100000000002a-0191346a217"', b'"100000000002a-0191346a217G"', b"1000000000020",
]  # fmt: skip


def rest_of(decoder):
    """Events that a decoder still holds."""
    events = []
    while (event := decoder.next_event_bytes())[0]:
        events.append(event)
    return events
