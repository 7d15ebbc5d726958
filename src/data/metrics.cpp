#include <cmath>
#include <cstdio>

#include "base/progress.h"
#include "tenon/data.h"

namespace tn::data {

// ---------------------------------------------------------------- progress

struct Progress::State {
  ProgressLine line;
};

Progress::Progress(std::string label, i64 total) : state_(new State{{std::move(label), total}}) {}
Progress::~Progress() = default;
void Progress::update(i64 done, std::string_view note) { state_->line.update(done, note); }

// ---------------------------------------------------------------- metrics

struct Metrics::State {
  std::string path;
  std::FILE* file = nullptr;
  bool json = false;
  std::vector<std::string> names;
  ~State() {
    if (file) std::fclose(file);
  }
};

Metrics::Metrics(const std::string& path) : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->json = path.ends_with(".jsonl");
  if (!state_->json && !path.ends_with(".csv"))
    fail("metrics", "expected a file name ending in .csv or .jsonl, got '" + path + "'");
  state_->file = std::fopen(path.c_str(), "a");
  if (!state_->file) fail("metrics", "expected a file that can be written, got '" + path + "'");
}
Metrics::~Metrics() = default;

static std::string number(double v, bool json) {
  if (json && !std::isfinite(v)) return "null";
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", v);
  return text;
}

void Metrics::write(const std::vector<std::pair<std::string, double>>& row) {
  State& s = *state_;
  std::string line;
  bool first = s.names.empty();
  if (first)
    for (const auto& [name, value] : row) s.names.push_back(name);
  if (row.size() != s.names.size())
    fail("metrics", "expected the " + std::to_string(s.names.size()) + " names of the first row, got " +
                        std::to_string(row.size()));
  if (first && !s.json && std::ftell(s.file) == 0)
    for (size_t i = 0; i < s.names.size(); ++i) line += s.names[i] + (i + 1 < s.names.size() ? "," : "\n");
  if (s.json) line += "{";
  for (size_t i = 0; i < row.size(); ++i) {
    if (row[i].first != s.names[i]) fail("metrics", "expected name '" + s.names[i] + "', got '" + row[i].first + "'");
    if (i) line += s.json ? ", " : ",";
    if (s.json) line += "\"" + row[i].first + "\": ";
    line += number(row[i].second, s.json);
  }
  line += s.json ? "}\n" : "\n";
  // One write a line, so that a killed run leaves whole lines.
  if (std::fwrite(line.data(), 1, line.size(), s.file) != line.size() || std::fflush(s.file))
    fail("metrics", "'" + s.path + "' cannot be written; is the disk full?");
}

}  // namespace tn::data
