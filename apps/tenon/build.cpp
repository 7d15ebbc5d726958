// `tenon build` and `tenon passes`: a plan file out of a model.
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "commands.h"
#include "engine/plan_state.h"
#include "tenon/engine.h"
#include "tenon/error.h"

namespace tn::app {

std::pair<std::string, std::string> assignment(const char* who, const std::string& text) {
  size_t at = text.rfind('=');
  if (at == text.npos || at == 0 || at + 1 == text.size())
    fail(who, "expected NAME=VALUE, like batch=64, got '" + text + "'");
  return {text.substr(0, at), text.substr(at + 1)};
}

i64 whole_number(const char* who, const std::string& text) {
  i64 value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0)
    fail(who, "expected a whole number, got '" + text + "'");
  return value;
}

/// NAME=MIN:OPT:MAX, or NAME=SIZE for all three.
static engine::ShapeProfile profile_of(const std::string& text) {
  auto [name, range] = assignment("build", text);
  std::vector<i64> numbers;
  for (size_t at = 0; at <= range.size();) {
    size_t end = std::min(range.find(':', at), range.size());
    numbers.push_back(whole_number("build", range.substr(at, end - at)));
    at = end + 1;
  }
  if (numbers.size() == 1) numbers.resize(3, numbers[0]);
  if (numbers.size() != 3) fail("build", "expected a profile NAME=MIN:OPT:MAX, got '" + text + "'");
  return {name, numbers[0], numbers[1], numbers[2]};
}

void build(const BuildOptions& o) {
  for (const std::string& p : o.plugins) load_plugin(p);
  engine::BuildOptions options{.without = o.without};
  for (const std::string& p : o.profiles) options.profiles.push_back(profile_of(p));
  Network network = import_onnx(o.model);
  auto start = std::chrono::steady_clock::now();
  engine::Plan plan = engine::build(network, options);
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  plan.save(o.output);
  if (!o.report.empty()) write_file("build", o.report, report());
  if (!plan.note().empty()) std::fprintf(stderr, "tenon: note: %s\n", plan.note().c_str());
  std::printf("%s: %zu instructions for %s, %ju bytes, built in %.3g s\n", o.output.c_str(),
              plan.state().plan->instructions().size(), plan.state().isa.c_str(),
              static_cast<std::uintmax_t>(std::filesystem::file_size(o.output)), seconds);
}

void list_passes() {
  for (const PassInfo& p : engine::build_passes())
    std::printf("%-14.*s %s %.*s\n", static_cast<int>(p.name.size()), p.name.data(),
                p.optional ? "optional " : "necessary", static_cast<int>(p.what.size()), p.what.data());
}

}  // namespace tn::app
