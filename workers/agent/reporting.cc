// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/reporting.h"

#include "workers/agent/machine.h"
#include "workers/agent/reports.h"

namespace anamnesis::agent {

Reporting::Reporting(const Run& run, StepCounter* counter, Session& session, gang::Mailbox& mailbox)
    : Progress(stderr, run.total_steps, run.logging_steps, run.num_ranks, counter,
               &SinceProcessStart),
      run_(run),
      session_(session),
      mailbox_(mailbox) {}

void Reporting::OnStarted(int rank, const Json& message) {
  Progress::OnStarted(rank, message);
  if (rank != 0) return;
  v1::Report report = NewReport(run_.epoch);
  v1::StartedReport& started = *report.mutable_started();
  started.set_total_steps(run_.total_steps);
  started.set_resumed_step(run_.resumed_step);
  started.set_steps_executed_before(run_.steps_executed_before);
  for (const int kept : run_.kept_ranks) started.add_kept_ranks(kept);
  for (const std::string& note : run_.notes) started.add_notes(note);
  *started.mutable_data() = run_.data;
  started.set_bits_not_guaranteed(figures().bits_not_guaranteed);
  session_.Report(std::move(report));
}

void Reporting::OnStep(int rank, const contract::StepReport& step) {
  Progress::OnStep(rank, step);
  if (rank != 0) return;
  v1::Report report = NewReport(run_.epoch);
  v1::StepReport& message = *report.mutable_step();
  message.set_step(step.step);
  message.set_epoch(step.epoch);
  message.set_loss(step.loss);
  message.set_grad_norm(step.grad_norm);
  message.set_learning_rate(step.learning_rate);
  message.set_tokens(step.global_tokens);
  message.set_seconds(step.seconds);
  session_.Report(std::move(report));
}

void Reporting::OnEval(int rank, const contract::EvalReport& eval) {
  Progress::OnEval(rank, eval);
  if (rank != 0) return;
  v1::Report report = NewReport(run_.epoch);
  v1::EvalReport& message = *report.mutable_eval();
  message.set_step(eval.step);
  message.set_epoch(eval.epoch);
  message.set_loss(eval.loss);
  message.set_labels(eval.labels);
  message.mutable_metrics()->insert(eval.metrics.begin(), eval.metrics.end());
  message.set_seconds(eval.seconds);
  session_.Report(std::move(report));
}

std::optional<gang::CommitAnswer> Reporting::OnCommit(int rank,
                                                      const gang::CommitRequest& request) {
  const CommitQuestion question{
      .epoch = run_.epoch, .step = request.step, .name = request.name, .sha256 = request.sha256};
  auto answer = [&mailbox = mailbox_, rank, step = request.step](bool granted,
                                                                 const std::string& reason) {
    mailbox.AnswerCommit(rank, step, {.granted = granted, .reason = reason});
  };
  if (run_.uploads != nullptr) {
    run_.uploads->Ask(question, std::move(answer));
  } else {
    session_.AskCommit(question, std::move(answer));
  }
  return std::nullopt;
}

void Reporting::OnSaved(int rank, int64_t step, const std::string& path, double seconds) {
  Progress::OnSaved(rank, step, path, seconds);
  if (rank != 0) return;
  v1::Report report = NewReport(run_.epoch);
  report.mutable_saved()->set_step(step);
  report.mutable_saved()->set_path(path);
  report.mutable_saved()->set_seconds(seconds);
  session_.Report(std::move(report));
}

}  // namespace anamnesis::agent
