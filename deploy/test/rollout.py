"""A rollout of gateways, as Kubernetes does it, and how often it moves each client."""

import random


def moves_each(gateways, surge, min_ready_s, drain_s, pre_stop_s=5, apart_s=0, seed=1, clients=60):
    """The moves of one client, on average, and the seconds that all of it takes.

    `surge` is how many more gateways there may be, new ones become ready `apart_s` after each other, and a client moves
    to any gateway that is ready: an old one too, while it has not been told to go.
    """
    choice = random.Random(seed)
    stay, ready_at = [f"old {i}" for i in range(gateways)], {}
    where = {client: stay[client % gateways] for client in range(gateways * clients)}
    moving, moves = {}, 0
    for second in range(100_000):
        room = gateways + surge - len(stay) - len(ready_at)
        for _ in range(min(room, gateways - len(ready_at))):
            ready_at[f"new {len(ready_at)}"] = second + 2 + apart_s * len(ready_at)
        available = sum(ready + min_ready_s <= second for ready in ready_at.values())
        while stay and len(stay) + available > gateways:
            goes = stay.pop(choice.randrange(len(stay)))
            its = [client for client, gateway in where.items() if gateway == goes]
            for place, client in enumerate(choice.sample(its, len(its))):
                at = second + pre_stop_s + int(drain_s * place / len(its))
                moving.setdefault(at, []).append(client)
        for client in moving.pop(second, []):
            ready = [gateway for gateway, at in ready_at.items() if at <= second]
            where[client] = choice.choice(stay + ready)
            moves += 1
        if not stay and not moving:
            return moves / len(where), second
    raise AssertionError("the rollout does not end")
