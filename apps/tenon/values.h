// Folders of values: input_N.pb or NAME.npy, as `tenon run` reads and writes them.
#pragma once
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/array.h"
#include "tenon/network.h"

namespace tn::app {

/// Values of a folder by the input they are for.
struct Given {
  std::unordered_map<std::string, Array> values;
  bool protobuf = true;  // files are input_N.pb, or there are none
};

/// What a folder gives of these inputs; `open` are those that no initializer backs. As many input_N.pb as there are
/// inputs number those; fewer number the open ones.
Given read_inputs(const std::string& folder, const std::vector<std::string>& all, const std::vector<std::string>& open);

/// The values in the order of the inputs; Error naming the input for every mismatch.
std::vector<Array> arranged(const std::vector<NamedType>& inputs, const Given& given);

/// The files output_N.pb or NAME.npy of a folder.
class OutputFiles {
 public:
  /// Error where names or dtypes have no file, before anything is computed.
  OutputFiles(std::string folder, std::vector<NamedType> outputs, bool protobuf);
  /// Writes all of them or, on an error, none.
  void write(const std::vector<Array>& values) const;

 private:
  void write_all(const std::filesystem::path& apart, const std::vector<Array>& values) const;

  std::filesystem::path folder_;
  std::vector<NamedType> outputs_;
  bool protobuf_;
  std::vector<std::string> names_;
};

/// "f32[2, 3]".
std::string extents(const Array& a);

}  // namespace tn::app
