// Tensors in files: .npy and .npz (NumPy) and .safetensors. Readers trust nothing: sizes are checked against the file
// before memory is taken. Writers are atomic: the file appears whole under its name, or not at all.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "tenon/tensor.h"

namespace [[gnu::visibility("default")]] tn {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// C or Fortran order, little or big endian; versions 1 to 3. Errors name the file and what is wrong.
Tensor load_npy(const std::string& path);
/// bf16 has no name in NumPy and is an error.
void save_npy(const std::string& path, const Tensor& x);
/// Stored and deflated entries, zip64 included.
NamedTensors load_npz(const std::string& path);
void save_npz(const std::string& path, const NamedTensors& tensors);

struct SafeTensors {
  NamedTensors tensors;  // by position in the file
  std::vector<std::pair<std::string, std::string>> metadata;
};
/// The file is mapped, not read; tensors share the mapping.
SafeTensors load_safetensors(const std::string& path);
void save_safetensors(const std::string& path, const NamedTensors& tensors,
                      const std::vector<std::pair<std::string, std::string>>& metadata = {});

}  // namespace tn
