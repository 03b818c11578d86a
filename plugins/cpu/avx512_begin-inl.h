// From here to avx512_end-inl.h functions are compiled for AVX-512 with bf16, whatever the file is: options for a whole file would leak such code
// into the inline functions that it shares with others, so what these regions use of the standard library is included before. No guard: a region
// each.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12 warns of the undefined registers of its own intrinsics
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
