// The door of libtenon_llvm, a C interface, since the library carries its own copy of the loop IR: text in, bytes out.
#pragma once
#include <cstddef>

extern "C" {

enum TenonLlvmForm { kTenonLlvmObject = 0, kTenonLlvmAssembly = 1, kTenonLlvmIr = 2 };

/// Receives the result, or the error's text.
using TenonLlvmTake = void (*)(void* context, const char* data, size_t size);

/// Compiles a kernel's text for vectors of 512 or 256 bits. 0: an ELF object (or text, by `form`) was taken; 1: an
/// error's text was. Any number of threads may compile at once.
int tenon_llvm_compile(const char* text, size_t size, int vector_bits, int form, void* context, TenonLlvmTake take);
}

namespace tn::cpu {
/// Changes whenever the code made of equal text may change: part of every cache key.
inline constexpr int kEmitterVersion = 6;
}  // namespace tn::cpu
