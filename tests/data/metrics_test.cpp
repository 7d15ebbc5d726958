// Metrics in files, progress on terminals.
#include <pty.h>
#include <sys/wait.h>
#include <tenon/data.h>
#include <unistd.h>

#include <cmath>

#include "files.h"

namespace tn::data {
namespace {

TEST(Metrics, Csv) {
  TemporaryFile file("metrics.csv");
  {
    Metrics metrics(file.path);
    metrics.write({{"step", 1}, {"loss", 0.25}});
    EXPECT_EQ(file.read(), "step,loss\n1,0.25\n");
    metrics.write({{"step", 2}, {"loss", std::nan("")}});
  }
  Metrics again(file.path);  // a resumed run goes on, without a second heading
  expect_error([&] { again.write({{"step", 3}, {"accuracy", 1}}); }, "expected name 'loss'");
  again.write({{"step", 3}, {"loss", 1e-7}});
  EXPECT_EQ(file.read(), "step,loss\n1,0.25\n2,nan\n3,1e-07\n");
}

TEST(Metrics, JsonLines) {
  TemporaryFile file("metrics.jsonl");
  Metrics metrics(file.path);
  metrics.write({{"step", 1}, {"val loss", 0.25}});
  metrics.write({{"step", 2}, {"val loss", INFINITY}});
  EXPECT_EQ(file.read(), "{\"step\": 1, \"val loss\": 0.25}\n{\"step\": 2, \"val loss\": null}\n");
}

TEST(Metrics, Refuses) {
  expect_error([] { Metrics("metrics.txt"); }, ".csv or .jsonl");
  expect_error([] { Metrics("/nowhere/metrics.csv"); }, "can be written");
  TemporaryFile file("metrics.csv");
  Metrics metrics(file.path);
  expect_error([&] { metrics.write({{"a,b", 1}}); }, "without commas");
  expect_error([&] { metrics.write({{"step", 1}, {"a\"b", 1}}); }, "without commas");
  metrics.write({{"step", 1}});
  expect_error([&] { metrics.write({{"epoch", 1}}); }, "expected name 'step'");
  expect_error([&] { metrics.write({{"step", 1}, {"loss", 1}}); }, "1 names of the first row");
  EXPECT_EQ(file.read(), "step\n1\n");  // a row in error leaves no trace
}

/// What progress over 20 steps writes to standard error, which is a terminal or a pipe.
std::string progress_on(bool terminal) {
  int ends[2];
  if (terminal ? openpty(&ends[0], &ends[1], nullptr, nullptr, nullptr) : pipe(ends)) return "no terminal";
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    {
      Progress progress("training", 20);
      for (int i = 1; i <= 20; ++i) progress.update(i, "loss 0.5");
    }
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char piece[256];
  for (ssize_t n; (n = read(ends[0], piece, sizeof piece)) > 0;) text.append(piece, static_cast<size_t>(n));
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return text;
}

TEST(Progress, OnATerminalOnly) {
  std::string text = progress_on(true);
  EXPECT_NE(text.find("training 20/20"), text.npos) << text;
  EXPECT_NE(text.find("/s"), text.npos);
  EXPECT_NE(text.find("left  loss 0.5"), text.npos);
  EXPECT_EQ(progress_on(false), "");
}

}  // namespace
}  // namespace tn::data
