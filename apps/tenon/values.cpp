#include "values.h"

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "onnx/import.h"
#include "onnx/tensors.h"
#include "tenon/error.h"
#include "tenon/io.h"

namespace tn::app {

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

Array read_pb(const std::string& path) { return onnx::array_of(onnx::decode_value(read_file("run", path)).tensor); }

void write_pb(const std::string& path, const Array& a, const std::string& name) {
  onnx::ValueDef v;
  v.name = name;
  v.tensor = onnx::tensor_of(a, name);
  write_file("run", path, onnx::encode_value(v));
}

}  // namespace tn::app
