#include "tenon/version.h"

namespace tn {

const char* version() { return TENON_VERSION; }

}  // namespace tn
