// Libraries of ours that are opened when first needed (the LLVM backend, the protobuf codec) and plugins of users.
#pragma once
#include <string>

namespace tn {

/// Opens one of our own libraries ("libtenon_protobuf.so"): beside the binary this code is in, in ../lib of it, in
/// TENON_LIBRARY_DIR, then where the system looks. Null when none is found; `why` then says what was tried.
void* open_own_library(const std::string& file, std::string& why);
/// Address of a symbol, null when missing.
void* library_symbol(void* library, const char* name);

}  // namespace tn
