#!/bin/sh
# Package: grpcio 1.85.1 (PyPI).
# Expected: a client whose stream of requests is refused by the server reads the server's status, here INVALID_ARGUMENT, as
#   the synchronous client does.
# What happens: `grpc.aio` writes requests beside reading answers. A write that is under way while the refusal comes fails,
#   and puts INTERNAL, "Internal error from Core", in the place of the status that was received: some 8 of 1,000 calls with
#   three requests on a busy machine of two cores, 1 of 6,000 on a quiet one, none with the synchronous client. Known as
#   grpc/grpc#36066 since 2024.
# A caller takes a refusal that says what to change for an error of the service, and asks again.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check grpcio==1.85.1
"$work/venv/bin/python" - <<'PYTHON'
import asyncio
import collections

import grpc
import grpc.aio

CALLS, AT_ONCE, ROUNDS = 250, 8, 60
REQUESTS = [b"a", b"b", b"c"]


class Refusing(grpc.GenericRpcHandler):
    def service(self, _details: object) -> grpc.RpcMethodHandler:
        async def refuse(_requests: object, context: grpc.aio.ServicerContext):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Send other requests.")
            yield b""

        return grpc.stream_stream_rpc_method_handler(refuse)


async def ask(channel: grpc.aio.Channel, statuses: collections.Counter) -> None:
    for _ in range(CALLS):
        try:
            await channel.stream_stream("/example.Echo/Say")(REQUESTS, timeout=20).read()
        except grpc.RpcError as error:
            statuses[error.code().name, error.details()] += 1


def ask_in_a_thread(port: int, statuses: collections.Counter) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for _ in range(CALLS):
            try:
                next(channel.stream_stream("/example.Echo/Say")(iter(REQUESTS), timeout=20))
            except grpc.RpcError as error:
                statuses[error.code().name, error.details()] += 1


async def main() -> int:
    server = grpc.aio.server(handlers=[Refusing()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    aio, sync = collections.Counter(), collections.Counter()
    for _ in range(ROUNDS):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.gather(*(ask(channel, aio) for _ in range(AT_ONCE)))
        await asyncio.gather(*(asyncio.to_thread(ask_in_a_thread, port, sync) for _ in range(AT_ONCE)))
        if len(aio) > 1:
            break
    await server.stop(0)
    print("grpc.aio:", dict(aio))
    print("grpc:", dict(sync))
    return set(sync) != {("INVALID_ARGUMENT", "Send other requests.")} or ("INTERNAL", "Internal error from Core") not in aio


raise SystemExit(asyncio.run(main()))
PYTHON
