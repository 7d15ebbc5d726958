// `tenon build` and `tenon passes`: a plan file out of a model.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "commands.h"
#include "engine/plan_state.h"
#include "onnx/import.h"
#include "source.h"
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

/// What the axes without a number in the model's inputs are called, "" for those without a name.
static std::set<std::string> size_names(const std::string& path) {
  onnx::ModelDef model = onnx::read_model(path);
  std::set<std::string> names;
  for (const onnx::ValueInfo& i : model.graph.inputs)
    for (const auto& e : i.type.shape)
      if (e.kind != onnx::TypeInfo::Extent::Kind::value) names.insert(e.name);
  return names;
}

/// The network of the model. Where it needs to know sizes that a profile gives one number, they are numbers in it, and
/// the profile has done its work.
static Network network_of(const std::string& path, std::vector<engine::ShapeProfile>& profiles) {
  onnx::ImportOptions fixed;
  for (const auto& p : profiles)
    if (p.min == p.max) fixed.sizes.emplace(p.name, p.min);
  try {
    return import_onnx(path);
  } catch (const Error& e) {
    if (fixed.sizes.empty() && !size_names(path).empty())
      throw Error(e.what() + std::string("\n  sizes that are given as one number (--profile NAME=SIZE) are known while "
                                         "the model is read"));
    if (fixed.sizes.empty()) throw;
  }
  Network network(std::make_shared<NamedGraph>(onnx::import_file(path, fixed)));
  std::set<std::string> names = size_names(path);  // a misspelt one stays, and is refused
  std::erase_if(profiles, [&](const auto& p) { return fixed.sizes.contains(p.name) && names.contains(p.name); });
  return network;
}

void build(const BuildOptions& o) {
  for (const std::string& p : o.plugins) load_plugin(p);
  engine::BuildOptions options{.without = o.without};
  for (const std::string& p : o.profiles) options.profiles.push_back(profile_of(p));
  if (is_plan(o.model)) fail("build", "expected an ONNX model, got '" + o.model + "', a plan that is built already");
  Network network = network_of(o.model, options.profiles);
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
