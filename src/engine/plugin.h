// Plugins: shared libraries that add ops through the C interface of tenon_plugin.h. The door is `load_plugin`, public
// in tenon/network.h.
#pragma once
#include "tenon/network.h"
