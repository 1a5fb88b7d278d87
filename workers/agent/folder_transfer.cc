// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/folder_transfer.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "common/io/file.h"
#include "common/rpc/address.h"
#include "common/rpc/status.h"
#include "workers/agent/attempts.h"
#include "workers/agent/output_directory.h"
#include "workers/checkpoint/manifest.h"

namespace anamnesis::agent {
namespace {

constexpr size_t kPartBytes = 1 << 20;
constexpr std::chrono::milliseconds kBackoff{500};
// A folder moves on or the coordinator is away: no call of one folder takes longer.
constexpr std::chrono::minutes kLongest{30};

// Writes the folders of a stream, each whole before it is visible.
class Arrivals {
 public:
  explicit Arrivals(std::string output_directory) : output_(std::move(output_directory)) {}

  Status Take(const v1::GetCheckpointResponse& response) {
    if (response.has_head()) {
      ANAM_RETURN_IF_ERROR(Finish());
      return Begin(response.head());
    }
    if (name_.empty()) return DataLoss("the coordinator sent a file of no folder");
    const v1::FilePart& part = response.part();
    if (part.name().empty() || part.name()[0] == '.' ||
        part.name().find('/') != std::string::npos) {
      return DataLoss("the coordinator sent a file whose name is not one of a checkpoint's");
    }
    if (part.name() != file_name_) {
      ANAM_RETURN_IF_ERROR(CloseFile());
      file_name_ = part.name();
      file_ = FileDescriptor(::open((Staging() + "/" + file_name_).c_str(),
                                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
      if (!file_.valid()) return Internal(Staging(), "/", file_name_, ": ", ErrnoText(errno));
    }
    return Write(part.data());
  }

  Status Finish() {
    if (name_.empty()) return absl::OkStatus();
    ANAM_RETURN_IF_ERROR(CloseFile());
    ANAM_RETURN_IF_ERROR(TakeArrived(Staging(), output_, name_, ""));
    name_.clear();
    return absl::OkStatus();
  }

 private:
  std::string Staging() const {
    return Cat(output_, "/", checkpoint::kStagingPrefix, "get-", name_);
  }

  Status Begin(const v1::FolderHead& head) {
    if (!head.name().starts_with("checkpoint-") || head.name().find('/') != std::string::npos) {
      return DataLoss("the coordinator sent a folder that is no checkpoint");
    }
    name_ = head.name();
    std::error_code error;
    std::filesystem::remove_all(Staging(), error);
    ANAM_RETURN_IF_ERROR(MakeDirectories(Staging()));
    const std::string marker = Cat(output_, "/", kMarker);
    ANAM_RETURN_IF_ERROR(MakeDirectories(marker));
    return WriteFileDurably(marker + "/run.json", head.run_record());
  }

  Status Write(const std::string& data) {
    for (size_t at = 0; at < data.size();) {
      const ssize_t written = ::write(file_.get(), data.data() + at, data.size() - at);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0 && (errno == ENOSPC || errno == EDQUOT)) {
        return ResourceExhausted(Staging(), ": ", ErrnoText(errno));
      }
      if (written < 0) return Internal(Staging(), "/", file_name_, ": ", ErrnoText(errno));
      at += static_cast<size_t>(written);
    }
    return absl::OkStatus();
  }

  Status CloseFile() {
    if (!file_.valid()) return absl::OkStatus();
    if (::fsync(file_.get()) != 0) {
      return Internal(Staging(), "/", file_name_, ": ", ErrnoText(errno));
    }
    file_.Reset();
    file_name_.clear();
    return absl::OkStatus();
  }

  const std::string output_;
  std::string name_, file_name_;
  FileDescriptor file_;
};

}  // namespace

FolderTransfer::FolderTransfer(const SessionOptions& session)
    : job_id_(session.job_id),
      token_(session.token),
      stub_(v1::WorkerService::NewStub(rpc::MakeChannel(session.coordinator))) {}

v1::WorkerIdentity FolderTransfer::Identity(int64_t epoch) const {
  v1::WorkerIdentity identity;
  identity.set_job_id(job_id_);
  identity.set_epoch(epoch);
  identity.set_token(token_);
  return identity;
}

template <typename Call>
Status FolderTransfer::Persist(Call call) {
  for (;;) {
    const Status status = call();
    const bool is_away = status.code() == absl::StatusCode::kUnavailable ||
                         status.code() == absl::StatusCode::kDeadlineExceeded;
    if (!is_away || cancelled_) return status;
    std::this_thread::sleep_for(kBackoff);
  }
}

Status FolderTransfer::Put(const StagedFolder& staged) {
  const std::string& output_directory = staged.output_directory;
  v1::PutFolderHead head;
  *head.mutable_worker() = Identity(staged.epoch);
  v1::FolderHead& folder = *head.mutable_folder();
  folder.set_name(staged.name);
  folder.set_manifest_sha256(staged.manifest_sha256);
  folder.set_whole_model(staged.whole_model);
  ANAM_ASSIGN_OR_RETURN(*folder.mutable_run_record(),
                        ReadFile(Cat(output_directory, "/", kMarker, "/run.json")));
  ANAM_ASSIGN_OR_RETURN(const std::vector<checkpoint::CheckpointPath> kept,
                        checkpoint::ListCheckpoints(output_directory));
  for (const checkpoint::CheckpointPath& path : kept) {
    folder.add_keep(std::filesystem::path(path.path).filename().string());
  }
  return Persist([&] { return PutOnce(head, staged.path()); });
}

Status FolderTransfer::PutOnce(const v1::PutFolderHead& head, const std::string& staging) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kLongest);
  v1::PutFolderResponse response;
  const auto writer = stub_->PutFolder(&context, &response);
  v1::PutFolderRequest request;
  *request.mutable_head() = head;
  bool open = writer->Write(request);
  const auto send = [&]() -> Status {
    ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(staging));
    for (const std::string& name : names) {
      const std::string path = staging + "/" + name;
      ANAM_ASSIGN_OR_RETURN(const FileDescriptor file, OpenForRead(path));
      ANAM_ASSIGN_OR_RETURN(const uint64_t size, FileSize(path));
      uint64_t at = 0;
      do {  // an empty file has a part, too
        v1::FilePart& part = *request.mutable_part();
        part.set_name(name);
        part.mutable_data()->resize(std::min<uint64_t>(kPartBytes, size - at));
        ANAM_RETURN_IF_ERROR(
            ReadAt(file, path, at, part.mutable_data()->data(), part.data().size()));
        at += part.data().size();
        open = open && !cancelled_ && writer->Write(request);
      } while (open && at < size);
    }
    return absl::OkStatus();
  };
  const Status sent = send();
  if (!sent.ok() || cancelled_) context.TryCancel();
  writer->WritesDone();
  const Status status = rpc::FromGrpc(writer->Finish());
  return sent.ok() ? status : sent;
}

Status FolderTransfer::Get(const v1::Grant& grant, const std::string& output_directory) {
  if (grant.committed_step() == 0) return absl::OkStatus();
  ANAM_ASSIGN_OR_RETURN(const bool has_it, HasCommitted(grant, output_directory));
  if (has_it) return absl::OkStatus();
  v1::GetCheckpointRequest request;
  *request.mutable_worker() = Identity(grant.epoch());
  return Persist([&] { return GetOnce(request, output_directory); });
}

Status FolderTransfer::GetOnce(const v1::GetCheckpointRequest& request,
                               const std::string& output_directory) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kLongest);
  const auto reader = stub_->GetCheckpoint(&context, request);
  v1::GetCheckpointResponse response;
  Arrivals arrivals(output_directory);
  Status taken;
  while (taken.ok() && !cancelled_ && reader->Read(&response)) taken = arrivals.Take(response);
  if (!taken.ok() || cancelled_) context.TryCancel();
  const Status status = rpc::FromGrpc(reader->Finish());
  ANAM_RETURN_IF_ERROR(taken);
  ANAM_RETURN_IF_ERROR(status);
  return arrivals.Finish();
}

}  // namespace anamnesis::agent
