// Whether a sanitizer watches the process: address and thread sanitizers take more address space than any limit leaves,
// and bring operators new and delete of their own.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TENON_SANITIZED 1
#elif defined(__has_feature)
#define TENON_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define TENON_SANITIZED 0
#endif

namespace tn {

inline constexpr bool kSanitized = TENON_SANITIZED;

}  // namespace tn
