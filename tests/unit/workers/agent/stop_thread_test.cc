// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/stop_thread.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <vector>

namespace anamnesis::agent {
namespace {

class StopThreadTest : public ::testing::Test {
 protected:
  StopThreadTest() {
    mailbox_ = *gang::Mailbox::Create();
    stop_ = *StopThread::Start(*mailbox_, [this](bool preparing) {
      const std::lock_guard<std::mutex> lock(mutex_);
      left_.push_back(preparing);
      changed_.notify_all();
    });
  }

  // What lies in the mailbox once `count` interrupts have come.
  int Interrupts(int count) {
    int taken = 0;
    while (taken < count) {
      pollfd fd{mailbox_->fd(), POLLIN, 0};
      if (::poll(&fd, 1, 10'000) != 1) return taken;
      taken += mailbox_->Take().interrupts;
    }
    return taken + mailbox_->Take().interrupts;
  }
  // With which words the process was to end, once it was.
  std::vector<bool> Left() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return !left_.empty(); });
    return left_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<bool> left_;
  std::unique_ptr<gang::Mailbox> mailbox_;
  std::unique_ptr<StopThread> stop_;
};

TEST_F(StopThreadTest, ARequestInterruptsTheGangOnce) {
  stop_->BeginTraining();
  stop_->Request(/*at_once=*/false);
  EXPECT_EQ(Interrupts(1), 1);
  EXPECT_TRUE(stop_->requested());
  stop_->Request(/*at_once=*/false);  // told again
  stop_.reset();
  EXPECT_EQ(mailbox_->Take().interrupts, 0);
  EXPECT_TRUE(left_.empty());
}

TEST_F(StopThreadTest, AtOnceInterruptsTwice) {
  stop_->BeginTraining();
  stop_->Request(/*at_once=*/true);
  EXPECT_EQ(Interrupts(2), 2);
}

TEST_F(StopThreadTest, AtOnceAfterARequestIsTheSecondInterrupt) {
  stop_->BeginTraining();
  stop_->Request(/*at_once=*/false);
  EXPECT_EQ(Interrupts(1), 1);
  stop_->Request(/*at_once=*/true);
  EXPECT_EQ(Interrupts(1), 1);
}

TEST_F(StopThreadTest, AWorkerWithoutAGangLeaves) {
  stop_->BeginPreparing();
  stop_->Request(/*at_once=*/false);
  EXPECT_EQ(Left(), std::vector<bool>{true});
}

TEST_F(StopThreadTest, AnIdleWorkerLeavesWithNothingToReport) {
  stop_->BeginPreparing();
  stop_->BeginTraining();
  stop_->EndEpoch();
  stop_->Request(/*at_once=*/false);
  EXPECT_EQ(Left(), std::vector<bool>{false});
}

TEST_F(StopThreadTest, ARequestThatCameBeforeFindsTheGang) {
  stop_->BeginPreparing();
  stop_->Request(/*at_once=*/false);
  Left();                 // where it does not end the process: training begins all the same
  mailbox_->Interrupt();  // to a gang that is no more
  stop_->BeginTraining();
  EXPECT_EQ(Interrupts(1), 1);
}

TEST_F(StopThreadTest, ASignalIsARequestAndASecondOfCtrlCIsAtOnce) {
  stop_->BeginTraining();
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(Interrupts(1), 1);
  EXPECT_TRUE(stop_->requested());
  ::kill(::getpid(), SIGTERM);  // engines send it in more than one way
  ::kill(::getpid(), SIGINT);
  EXPECT_EQ(Interrupts(1), 1);
}

}  // namespace
}  // namespace anamnesis::agent
