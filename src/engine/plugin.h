// Plugins: shared libraries that add ops through the C interface of tenon_plugin.h.
#pragma once
#include <string>
#include <vector>

namespace tn {

/// Opens the library, checks its version and registers its ops; the names of the ops. Opening the same file again does
/// nothing new. Error naming the file and the fault: not a library, no entry point, another version, a bad op, a name
/// that is taken. A failed load registers nothing. Thread-safe.
std::vector<std::string> load_plugin(const std::string& path);

}  // namespace tn
