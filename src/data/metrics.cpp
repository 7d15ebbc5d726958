#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

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
  bool json = false, heading = false;  // heading: still to be written
  std::vector<std::string> names;
  ~State() {
    if (file) std::fclose(file);
  }
};

/// The names in the first line of a file that is there already.
static std::vector<std::string> heading(const std::string& path) {
  std::vector<std::string> names;
  std::string line, name;
  if (std::ifstream file(path); std::getline(file, line))
    for (std::istringstream parts(line); std::getline(parts, name, ',');) names.push_back(name);
  return names;
}

Metrics::Metrics(const std::string& path) : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->json = path.ends_with(".jsonl");
  if (!state_->json && !path.ends_with(".csv"))
    fail("metrics", "expected a file name ending in .csv or .jsonl, got '" + path + "'");
  if (!state_->json) state_->names = heading(path);
  state_->heading = state_->names.empty();
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

/// Only a name that stands for itself in both forms.
static void check_name(const std::string& name) {
  bool plain = std::none_of(name.begin(), name.end(), [](char c) {
    return c == ',' || c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' ';
  });
  if (!plain || name.empty())
    fail("metrics", "expected names without commas, quotes and backslashes, got '" + name + "'");
}

void Metrics::write(const std::vector<std::pair<std::string, double>>& row) {
  State& s = *state_;
  std::string line;
  std::vector<std::string> names = s.names;  // kept once the line is written: a row in error names nothing
  if (names.empty())
    for (const auto& [name, value] : row) {
      check_name(name);
      names.push_back(name);
    }
  if (row.size() != names.size())
    fail("metrics",
         "expected the " + std::to_string(names.size()) + " names of the first row, got " + std::to_string(row.size()));
  if (s.heading && !s.json)
    for (size_t i = 0; i < names.size(); ++i) line += names[i] + (i + 1 < names.size() ? "," : "\n");
  if (s.json) line += "{";
  for (size_t i = 0; i < row.size(); ++i) {
    if (row[i].first != names[i]) fail("metrics", "expected name '" + names[i] + "', got '" + row[i].first + "'");
    if (i) line += s.json ? ", " : ",";
    if (s.json) line += "\"" + row[i].first + "\": ";
    line += number(row[i].second, s.json);
  }
  line += s.json ? "}\n" : "\n";
  // One write a line, so that a killed run leaves whole lines.
  if (std::fwrite(line.data(), 1, line.size(), s.file) != line.size() || std::fflush(s.file))
    fail("metrics", "'" + s.path + "' cannot be written; is the disk full?");
  s.heading = false;
  s.names = std::move(names);
}

}  // namespace tn::data
