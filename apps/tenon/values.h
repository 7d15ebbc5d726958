// Folders of values: input_N.pb or NAME.npy, as `tenon run` reads and writes them.
#pragma once
#include <string>
#include <vector>

#include "base/array.h"
#include "onnx/model.h"

namespace tn::app {

/// The bytes of a file; Error naming it.
std::string read_bytes(const std::string& path);
/// Writes a file so that it appears whole or not at all.
void write_bytes(const std::string& path, const std::string& bytes);

/// `/` in a value's name is `_` in its file's.
std::string file_name(std::string name);

Array read_npy(const std::string& path);
void write_npy(const std::string& path, const Array& a);
Array read_pb(const std::string& path);
void write_pb(const std::string& path, const Array& a, const std::string& name);

}  // namespace tn::app
