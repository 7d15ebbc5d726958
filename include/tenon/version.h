// The version of the library that is linked, as opposed to that of the headers.
#pragma once

namespace [[gnu::visibility("default")]] tn {

/// "0.1.0"
const char* version();

}  // namespace tn
