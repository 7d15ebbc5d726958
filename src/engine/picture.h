// A graph as a picture.
#pragma once
#include <string>

#include "ir/named_graph.h"

namespace tn {

/// SVG: a box for each node (constants aside), layers by depth from the inputs, a line from each operand to its user.
std::string svg_picture(const NamedGraph& net);

}  // namespace tn
