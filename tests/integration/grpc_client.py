# SPDX-License-Identifier: Apache-2.0
"""A client of the service as a stranger would write it: gRPC's Python package and stubs generated from proto/. Run by
tools/oracle for service_clients_test.py; prints what it saw as JSON.
usage: grpc_client.py STUBS HOST:PORT TOKEN_FILE CONFIG.yaml OUTPUT_DIR"""

import json
import pathlib
import sys

sys.path.insert(0, sys.argv[1])

import grpc  # noqa: E402
from anamnesis.v1 import cluster_service_pb2, cluster_service_pb2_grpc  # noqa: E402
from anamnesis.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc  # noqa: E402
from google.protobuf import duration_pb2  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402

TIMEOUT_S = 60


def error_of(call):
    """The error that the call ends with, its details unpacked."""
    try:
        call()
    except grpc.RpcError as error:
        trailers = dict(error.trailing_metadata())
        found = {"code": error.code().name, "message": error.details(), "violations": []}
        for detail in status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b"")).details:
            bad, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
            if detail.Unpack(bad):
                found["violations"] += [[row.field, row.description] for row in bad.field_violations]
            elif detail.Unpack(info):
                found["domain"], found["reason"] = info.domain, info.reason
        return found
    return {"code": "OK"}


def main():
    _, _, address, token_file, config, output = sys.argv
    token = pathlib.Path(token_file).read_text().strip()
    mine = [("authorization", f"Bearer {token}")]
    channel = grpc.insecure_channel(address)
    jobs = job_service_pb2_grpc.JobServiceStub(channel)
    cluster = cluster_service_pb2_grpc.ClusterServiceStub(channel)
    seen = {}

    ask = lambda metadata: error_of(lambda: cluster.GetCluster(cluster_service_pb2.GetClusterRequest(),
                                                               metadata=metadata, timeout=TIMEOUT_S))
    seen["no_token"] = ask([])
    seen["wrong_token"] = ask([("authorization", "Bearer " + token[:-1] + ("0" if token[-1] != "0" else "1"))])
    node = cluster.GetCluster(cluster_service_pb2.GetClusterRequest(), metadata=mine, timeout=TIMEOUT_S).nodes[0]
    seen["slots"] = len(node.slots)

    spec = job_pb2.JobSpec(task="pretrain_llm", config_yaml=pathlib.Path(config).read_text(),
                           working_directory=str(pathlib.Path(config).parent),
                           overrides=[f"training.output_dir={output}", "training.epochs=400"])
    bad = job_pb2.JobSpec()
    bad.CopyFrom(spec)
    bad.config_yaml = spec.config_yaml.replace("  r: 4", "  r: four").replace("batch_size: 2", "batch_sise: 2")
    seen["bad"] = error_of(lambda: jobs.CreateJob(job_service_pb2.CreateJobRequest(spec=bad), metadata=mine,
                                                  timeout=TIMEOUT_S))
    seen["unknown"] = error_of(lambda: jobs.GetJob(job_service_pb2.GetJobRequest(name="jobs/4711"), metadata=mine,
                                                   timeout=TIMEOUT_S))

    create = lambda request: jobs.CreateJob(request, metadata=mine, timeout=TIMEOUT_S).job
    request = job_service_pb2.CreateJobRequest(spec=spec, request_id="python-1")
    name = create(request).name
    seen["name"], seen["again"] = name, create(request).name
    seen["checked"] = create(job_service_pb2.CreateJobRequest(spec=spec, validate_only=True)).name
    request.spec.priority = 7
    seen["other_spec"] = error_of(lambda: create(request))

    states, cancelled, token_of_change = [], False, ""
    watch = lambda resume: jobs.WatchJobs(job_service_pb2.WatchJobsRequest(names=[name], resume_token=resume),
                                          metadata=mine, timeout=TIMEOUT_S)
    for change in watch(""):
        state = job_pb2.JobState.Name(change.job.state).removeprefix("JOB_STATE_").lower()
        token_of_change = change.resume_token
        if change.HasField("job") and state not in states:
            states.append(state)
        if change.job.progress.step >= 3 and not cancelled:
            cancelled = True
            jobs.CancelJob(job_service_pb2.CancelJobRequest(name=name, grace=duration_pb2.Duration(seconds=60)),
                           metadata=mine, timeout=TIMEOUT_S)
    seen["states"] = states
    seen["resumed"] = [job_pb2.JobState.Name(change.job.state) for change in watch(token_of_change)
                       if change.HasField("job")]
    last = jobs.GetJob(job_service_pb2.GetJobRequest(name=name, full=True), metadata=mine, timeout=TIMEOUT_S).job
    seen["saved_step"] = last.latest_checkpoint.step
    seen["step"] = last.progress.step
    points = [point for answer in jobs.StreamMetrics(job_service_pb2.StreamMetricsRequest(name=name), metadata=mine,
                                                     timeout=TIMEOUT_S) for point in answer.points]
    seen["points"] = [point.step for point in points]
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
