// Folders of values: input_N.pb or NAME.npy, as `tenon run` reads and writes them.
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "base/array.h"
#include "tenon/network.h"

namespace tn::app {

/// Values of a folder by the input they are for.
struct Given {
  std::unordered_map<std::string, Array> values;
  bool protobuf = true;     // files are input_N.pb
  bool all_inputs = false;  // inputs that an initializer backs are among them
};

/// What a folder gives of these inputs; `open` are those that no initializer backs. As many input_N.pb as there are
/// inputs number those; fewer number the open ones.
Given read_inputs(const std::string& folder, const std::vector<std::string>& all, const std::vector<std::string>& open);

/// The values in the order of the inputs; Error naming the input for every mismatch.
std::vector<Array> arranged(const std::vector<NamedType>& inputs, const Given& given);

/// Writes output_N.pb or NAME.npy: all of them or, on an error, none.
void write_outputs(const std::string& folder, const std::vector<NamedType>& outputs, const std::vector<Array>& values,
                   bool protobuf);

/// "f32[2, 3]".
std::string extents(const Array& a);

}  // namespace tn::app
