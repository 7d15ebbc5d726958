#include "values.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/file.h"
#include "onnx/import.h"
#include "onnx/tensors.h"
#include "tenon/error.h"
#include "tenon/io.h"

namespace tn::app {

namespace fs = std::filesystem;

namespace {

/// `/` in a value's name is `_` in its file's.
std::string file_name(std::string name) {
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

Array read_npy(const std::string& path) {
  Tensor t = load_npy(path);
  std::vector<i64> shape;
  for (Dim d : t.shape()) shape.push_back(d.value());
  Array a = Array::empty(t.dtype(), shape);
  if (a.nbytes()) std::memcpy(a.bytes_begin(), t.raw(), a.nbytes());
  return a;
}

void write_npy(const std::string& path, const Array& a) {
  Shape shape(a.shape.begin(), a.shape.end());
  save_npy(path, from_data(a.bytes_begin(), shape, a.dtype));
}

Array read_pb(const std::string& path) {
  std::string bytes = read_file("run", path);
  try {
    return onnx::array_of(onnx::decode_value(bytes).tensor);
  } catch (const Error& e) { fail("run", "'" + path + "': " + e.what()); }
}

void write_pb(const std::string& path, const Array& a, const std::string& name) {
  onnx::ValueDef v;
  v.name = name;
  v.tensor = onnx::tensor_of(a, name);
  write_file("run", path, onnx::encode_value(v));
}

/// Files input_0.pb, input_1.pb ... of a folder, by number.
std::map<size_t, std::string> numbered(const std::string& folder) {
  std::map<size_t, std::string> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::string name = entry.path().filename().string();
    if (!name.starts_with("input_") || !name.ends_with(".pb")) continue;
    std::string digits = name.substr(6, name.size() - 9);
    if (digits.empty() || digits.size() > 6 || digits.find_first_not_of("0123456789") != digits.npos) continue;
    if (digits.size() > 1 && digits[0] == '0') continue;  // input_00.pb is no second input_0.pb
    found.emplace(std::stoul(digits), entry.path().string());
  }
  return found;
}

}  // namespace

std::string extents(const Array& a) {
  Shape shape(a.shape.begin(), a.shape.end());
  return to_string(Type::tensor(a.dtype, shape));
}

Given read_inputs(const std::string& folder, const std::vector<std::string>& all,
                  const std::vector<std::string>& open) {
  if (!fs::is_directory(folder)) fail("run", "expected a folder of inputs, got '" + folder + "'");
  Given given;
  auto files = numbered(folder);
  const auto& names = files.size() == all.size() ? all : open;
  for (const auto& [number, path] : files) {
    if (number >= names.size())
      fail("run",
           "expected input files for " + std::to_string(names.size()) + " inputs, numbered from 0, got '" + path + "'");
    given.values.emplace(names[number], read_pb(path));
  }
  std::map<std::string, std::string> owners;
  for (const std::string& name : all) {
    fs::path path = fs::path(folder) / (file_name(name) + ".npy");
    if (given.values.contains(name) || !fs::exists(path)) continue;
    auto owner = owners.emplace(path.string(), name).first;
    if (owner->second != name)
      fail("run", "expected a file of its own for each input, got '" + path.string() + "' for both '" + owner->second +
                      "' and '" + name + "'; give them as input_N.pb");
    given.values.emplace(name, read_npy(path.string()));
  }
  given.protobuf = !files.empty() || given.values.empty();
  return given;
}

std::vector<Array> arranged(const std::vector<NamedType>& wanted, const Given& given) {
  std::vector<Array> inputs;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto& [name, want] = wanted[i];
    auto found = given.values.find(name);
    if (found == given.values.end())
      fail("run", "expected a file for input '" + name + "' " + to_string(want) + ", got none: input_" +
                      std::to_string(i) + ".pb or " + file_name(name) + ".npy");
    const Array& a = found->second;
    bool fits = a.dtype == want.dtype() && a.shape.size() == want.shape().size();
    for (size_t k = 0; fits && k < a.shape.size(); ++k)
      fits = !want.shape()[k].is_constant() || want.shape()[k].value() == a.shape[k];
    if (!fits) fail("run", "expected " + to_string(want) + " for input '" + name + "', got " + extents(a));
    inputs.push_back(a);
  }
  return inputs;
}

// ---------------------------------------------------------------- outputs

OutputFiles::OutputFiles(std::string folder, std::vector<NamedType> outputs, bool protobuf)
    : folder_(std::move(folder)), outputs_(std::move(outputs)), protobuf_(protobuf) {
  if (folder_.empty()) fail("run", "expected a folder for outputs, got ''");
  std::map<std::string, std::string> names;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const auto& [name, type] = outputs_[i];
    names_.push_back(protobuf ? "output_" + std::to_string(i) + ".pb" : file_name(name) + ".npy");
    auto first = names.emplace(names_[i], name).first;
    if (first->second != name)
      fail("run", "expected outputs whose files have names of their own, got '" + first->second + "' and '" + name +
                      "', both " + names_[i] + "; give the inputs as input_N.pb");
    if (!protobuf && type.dtype() == DType::bf16)
      fail("run",
           "expected outputs of dtypes that .npy has, got bf16 for '" + name + "'; give the inputs as input_N.pb");
    if (fs::is_directory(folder_ / names_[i]))
      fail("run", "expected a place for a file, got a folder '" + (folder_ / names_[i]).string() + "'");
  }
}

void OutputFiles::write_all(const fs::path& apart, const std::vector<Array>& values) const {
  for (size_t i = 0; i < values.size(); ++i) {
    std::string path = (apart / names_[i]).string();
    if (protobuf_)
      write_pb(path, values[i], outputs_[i].name);
    else
      write_npy(path, values[i]);
  }
  for (const std::string& name : names_) {
    std::error_code error;
    if (!fs::exists(apart / name)) continue;  // an output listed twice
    fs::rename(apart / name, folder_ / name, error);
    if (error) fail("run", "'" + (apart / name).string() + "' cannot be written: " + error.message());
  }
}

void OutputFiles::write(const std::vector<Array>& values) const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error)
    fail("run",
         "expected a folder for outputs, got '" + folder_.string() + "', which cannot be made: " + error.message());
  // They are written apart first, so that a disk that fills up leaves nothing behind.
  UnfinishedFolder apart("run", folder_);
  try {
    write_all(apart.path(), values);
  } catch (const Error& e) {
    std::string text = e.what(), inner = "/" + apart.path().filename().string();
    if (size_t at = text.find(inner); at != text.npos) text.erase(at, inner.size());  // the place it was meant for
    throw Error(text);
  }
}

}  // namespace tn::app
