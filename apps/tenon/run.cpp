// `tenon run`: inputs from a folder, one execution, outputs into a folder.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <unordered_set>

#include "backend/ref/ref.h"
#include "base/file.h"
#include "commands.h"
#include "engine/plugin.h"
#include "onnx/import.h"
#include "runtime/execute.h"
#include "tenon/error.h"
#include "values.h"

namespace tn::app {

namespace fs = std::filesystem;

namespace {

/// Files input_0.pb, input_1.pb ... of a folder, by number.
std::map<size_t, std::string> numbered(const std::string& folder) {
  std::map<size_t, std::string> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::string name = entry.path().filename().string();
    if (!name.starts_with("input_") || !name.ends_with(".pb")) continue;
    std::string digits = name.substr(6, name.size() - 9);
    if (digits.empty() || digits.size() > 6 || digits.find_first_not_of("0123456789") != digits.npos) continue;
    found.emplace(std::stoul(digits), entry.path().string());
  }
  return found;
}

struct Given {
  std::unordered_map<std::string, Array> values;
  bool protobuf = true, all_inputs = false;
};

/// As many files as the graph has inputs number those; fewer number the inputs no initializer backs.
Given read_inputs(const onnx::ModelDef& model, const std::string& folder) {
  if (!fs::is_directory(folder)) fail("run", "expected a folder of inputs, got '" + folder + "'");
  std::unordered_set<std::string> backed;
  for (const auto& t : model.graph.initializers) backed.insert(t.name);
  std::vector<std::string> all, open;
  for (const auto& i : model.graph.inputs) {
    all.push_back(i.name);
    if (!backed.contains(i.name)) open.push_back(i.name);
  }
  Given given;
  auto files = numbered(folder);
  given.all_inputs = files.size() == all.size() && all.size() != open.size();
  const auto& names = given.all_inputs ? all : open;
  for (const auto& [number, path] : files) {
    if (number >= names.size())
      fail("run", "expected inputs 0 to " + std::to_string(names.size()) + " (without the last), got '" + path + "'");
    given.values.emplace(names[number], read_pb(path));
  }
  given.protobuf = !files.empty();
  for (const std::string& name : all) {
    fs::path path = fs::path(folder) / (file_name(name) + ".npy");
    if (given.values.contains(name) || !fs::exists(path)) continue;
    given.values.emplace(name, read_npy(path.string()));
    if (backed.contains(name)) given.all_inputs = true;
  }
  if (open.empty() && files.empty()) given.protobuf = true;
  return given;
}

std::string extents(const Array& a) {
  std::string text = std::string(name(a.dtype)) + "[";
  for (size_t i = 0; i < a.shape.size(); ++i) text += (i ? ", " : "") + std::to_string(a.shape[i]);
  return text + "]";
}

/// Values in the order of the network's inputs; every mismatch is an error that names the input.
std::vector<Array> arranged(const NamedGraph& net, const Given& given) {
  std::vector<Array> inputs;
  for (size_t i = 0; i < net.inputs.size(); ++i) {
    auto found = given.values.find(net.inputs[i]);
    Type want = net.graph->type(static_cast<u32>(i));
    if (found == given.values.end())
      fail("run", "expected a file for input '" + net.inputs[i] + "' " + to_string(want) + ", got none: input_" +
                      std::to_string(i) + ".pb or " + file_name(net.inputs[i]) + ".npy");
    const Array& a = found->second;
    bool fits = a.dtype == want.dtype() && a.shape.size() == want.shape().size();
    for (size_t k = 0; fits && k < a.shape.size(); ++k)
      fits = !want.shape()[k].is_constant() || want.shape()[k].value() == a.shape[k];
    if (!fits) fail("run", "expected " + to_string(want) + " for input '" + net.inputs[i] + "', got " + extents(a));
    inputs.push_back(a);
  }
  return inputs;
}

}  // namespace

namespace {

struct Ready {
  NamedGraph net;
  std::vector<Array> inputs;
  bool protobuf;
};

Ready prepare(const std::string& path, const std::string& inputs, const std::vector<std::string>& plugins) {
  for (const std::string& p : plugins) load_plugin(p);
  onnx::ModelDef model = onnx::decode_model(read_file("run", path));
  Given given = read_inputs(model, inputs);
  onnx::ImportOptions options;
  options.folder = fs::path(path).parent_path().string();
  if (options.folder.empty()) options.folder = ".";
  options.known_inputs = given.values;
  options.keep_backed_inputs = given.all_inputs;
  Ready r{onnx::import_model(model, options), {}, given.protobuf};
  r.inputs = arranged(r.net, given);
  return r;
}

}  // namespace

void run(const RunOptions& o) {
  set_budget(o.timeout_seconds, o.memory_gib);
  Ready ready = prepare(o.model, o.inputs, o.plugins);
  std::vector<Array> outputs = execute(ready.net.graph, ready.inputs);
  std::error_code error;
  fs::create_directories(o.outputs, error);
  if (!fs::is_directory(o.outputs))
    fail("run", "expected a folder for outputs, got '" + o.outputs + "', which cannot be made");
  for (size_t i = 0; i < outputs.size(); ++i) {
    std::string file =
        ready.protobuf ? "output_" + std::to_string(i) + ".pb" : file_name(ready.net.outputs[i]) + ".npy";
    std::string path = (fs::path(o.outputs) / file).string();
    if (ready.protobuf)
      write_pb(path, outputs[i], ready.net.outputs[i]);
    else
      write_npy(path, outputs[i]);
  }
}

void compare(const CompareOptions& o) {
  Ready ready = prepare(o.model, o.inputs, o.plugins);
  std::vector<Array> got = execute(ready.net.graph, ready.inputs), want = ref_run(ready.net.graph, ready.inputs);
  for (size_t i = 0; i < got.size(); ++i) {
    double worst = 0;
    for (i64 k = 0; k < got[i].size(); ++k) {
      double d = std::fabs(got[i].get(k) - want[i].get(k));
      if (!(d <= worst)) worst = got[i].get(k) == want[i].get(k) ? worst : d;
    }
    std::printf("%s max_abs_diff %.3g\n", ready.net.outputs[i].c_str(), worst);
  }
}

}  // namespace tn::app
