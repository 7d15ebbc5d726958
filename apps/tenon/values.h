// Folders of values: input_N.pb or NAME.npy, as `tenon run` reads and writes them.
#pragma once
#include <string>
#include <vector>

#include "base/array.h"
#include "onnx/model.h"

namespace tn::app {

/// `/` in a value's name is `_` in its file's.
std::string file_name(std::string name);

Array read_npy(const std::string& path);
void write_npy(const std::string& path, const Array& a);
Array read_pb(const std::string& path);
void write_pb(const std::string& path, const Array& a, const std::string& name);

}  // namespace tn::app
