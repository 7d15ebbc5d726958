#include "base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace tn {

std::string duration_text(double seconds) {
  auto s = static_cast<long long>(seconds + 0.5);
  char text[64];
  if (s < 60)
    std::snprintf(text, sizeof text, "%lld s", s);
  else if (s < 3600)
    std::snprintf(text, sizeof text, "%lld:%02lld", s / 60, s % 60);
  else
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
  return text;
}

ProgressLine::ProgressLine(std::string label, i64 total)
    : label_(std::move(label)),
      total_(std::max<i64>(total, 1)),
      shown_(isatty(STDERR_FILENO)),
      start_(Clock::now()),
      last_(start_) {}

ProgressLine::~ProgressLine() {
  if (written_) std::fputc('\n', stderr);
}

void ProgressLine::update(i64 done, std::string_view note) {
  if (!shown_) return;
  auto now = Clock::now();
  if (first_ < 0) first_ = done;  // a resumed run does not count what was done before
  bool last = done >= total_;
  if (!last && written_ && now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  double seconds = std::chrono::duration<double>(now - start_).count();
  double rate = seconds > 0 ? static_cast<double>(done - first_) / seconds : 0;
  std::string left = rate > 0 ? duration_text(static_cast<double>(total_ - done) / rate) : "?";
  std::fprintf(stderr, "\r\033[K%s %lld/%lld  %.1f/s  %s left  %.*s", label_.c_str(), static_cast<long long>(done),
               static_cast<long long>(total_), rate, left.c_str(), static_cast<int>(note.size()), note.data());
  std::fflush(stderr);
  written_ = true;
}

}  // namespace tn
