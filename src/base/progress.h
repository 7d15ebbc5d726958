// One line on a terminal that shows how far long work is, its rate and the time left. Silent in a pipe.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "tenon/dtype.h"

namespace tn {

class ProgressLine {
 public:
  ProgressLine(std::string label, i64 total);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void update(i64 done, std::string_view note = "");

 private:
  using Clock = std::chrono::steady_clock;
  std::string label_;
  i64 total_, first_ = -1;
  bool shown_, written_ = false;
  Clock::time_point start_, last_;
};

/// "1:02:03", "4:05", "12 s".
std::string duration_text(double seconds);

}  // namespace tn
