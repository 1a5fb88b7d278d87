# SPDX-License-Identifier: Apache-2.0
"""Workers in the plural, for tracked_jobs_bench.py: a session with the coordinator for each line "JOB EPOCH TOKEN" of
the standard input, over a connection of its own, which says that it trains, sends its heartbeats and reports a step
every ten seconds. Run by tools/oracle, as it needs gRPC's Python package. Every second a line says how many are
attached, how many were lost, and how many reports were acknowledged; the end of the standard input ends it.
usage: crowd.py STUBS HOST:PORT"""

import asyncio
import json
import sys

sys.path.insert(0, sys.argv[1])

import grpc  # noqa: E402
from anamnesis.v1 import job_pb2, worker_service_pb2, worker_service_pb2_grpc  # noqa: E402

HEARTBEATS_A_STEP = 5
seen = {"attached": 0, "lost": 0, "acknowledged": 0}


class Worker:
    def __init__(self, address, job, epoch, token):
        self.channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.hello = worker_service_pb2.Hello(protocol_version=1, job_id=job, epoch=int(epoch), token=token,
                                              host="crowd", pid=1)
        self.epoch = int(epoch)
        self.sequence = 0
        self.acknowledged = 0

    async def live(self):
        async with self.channel:
            self.call = worker_service_pb2_grpc.WorkerServiceStub(self.channel).Session()
            await self.call.write(worker_service_pb2.SessionRequest(hello=self.hello))
            answer = await self.call.read()
            if not answer:  # EOF
                raise SystemExit(f"no grant: {await self.call.code()} {await self.call.details()}")
            seen["attached"] += 1
            speaking = asyncio.create_task(self.speak(answer.grant.heartbeat_interval_ms / 1000))
            await self.listen()
            speaking.cancel()
            seen["attached"] -= 1
            seen["lost"] += 1

    async def listen(self):
        try:
            while answer := await self.call.read():
                seen["acknowledged"] += max(0, answer.ack.sequence - self.acknowledged)
                self.acknowledged = max(self.acknowledged, answer.ack.sequence)
        except grpc.RpcError:
            pass

    async def speak(self, interval_s):
        await self.report(phase=worker_service_pb2.PhaseReport(state=job_pb2.ATTEMPT_STATE_RENDEZVOUS, phase="loading"))
        await self.report(started=worker_service_pb2.StartedReport(total_steps=1000000))
        step = 0
        while True:
            step += 1
            await self.report(step=worker_service_pb2.StepReport(step=step, loss=1, tokens=100, seconds=0.1))
            for _ in range(HEARTBEATS_A_STEP):
                await asyncio.sleep(interval_s)
                await self.call.write(worker_service_pb2.SessionRequest(
                    heartbeat=worker_service_pb2.Heartbeat(epoch=self.epoch)))

    async def report(self, **what):
        self.sequence += 1
        report = worker_service_pb2.Report(sequence=self.sequence, epoch=self.epoch, **what)
        report.time.GetCurrentTime()
        await self.call.write(worker_service_pb2.SessionRequest(report=report))


async def tell():
    while True:
        print(json.dumps(seen), flush=True)
        await asyncio.sleep(1)


async def main():
    telling = asyncio.create_task(tell())
    workers = []
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        workers.append(asyncio.create_task(Worker(sys.argv[2], *line.decode().split()).live()))
    telling.cancel()
    for worker in workers:
        worker.cancel()


if __name__ == "__main__":
    asyncio.run(main())
