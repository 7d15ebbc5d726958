#include "values.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "onnx/convert.h"
#include "onnx/import.h"
#include "tenon/error.h"
#include "tenon/io.h"

namespace tn::app {

std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) fail("run", "expected a readable file, got '" + path + "', which cannot be opened");
  std::string bytes(static_cast<size_t>(std::max<std::streamoff>(in.tellg(), 0)), '\0');
  in.seekg(0);
  if (!bytes.empty() && !in.read(bytes.data(), static_cast<std::streamsize>(bytes.size())))
    fail("run", "'" + path + "' cannot be read to its end");
  return bytes;
}

void write_bytes(const std::string& path, const std::string& bytes) {
  std::string temporary = path + ".part" + std::to_string(getpid());
  int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  auto give_up = [&](const char* what) {
    std::string why = std::strerror(errno);
    if (file >= 0) close(file);
    unlink(temporary.c_str());
    fail("run", "'" + path + "' cannot be " + what + ": " + why);
  };
  if (file < 0) give_up("created");
  for (size_t at = 0; at < bytes.size();) {
    ssize_t n = write(file, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) give_up("written");
    at += static_cast<size_t>(n);
  }
  if (fsync(file) || close(file)) give_up("written");
  file = -1;
  if (rename(temporary.c_str(), path.c_str())) give_up("put in place");
}

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

Array read_pb(const std::string& path) { return onnx::array_of(onnx::decode_value(read_bytes(path)).tensor); }

void write_pb(const std::string& path, const Array& a, const std::string& name) {
  onnx::ValueDef v;
  v.name = name;
  v.tensor = onnx::tensor_of(a, name);
  write_bytes(path, onnx::encode_value(v));
}

}  // namespace tn::app
