// A graph with the names its inputs and outputs have for the user; what files hold and plans are built from.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace tn {

struct NamedGraph {
  GraphPtr graph;
  std::vector<std::string> inputs, outputs;
  std::vector<std::pair<std::string, std::string>> metadata;
};

}  // namespace tn
