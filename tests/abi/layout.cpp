// Pins the binary layout of every struct and the value of every constant in plugin.h and rocforge.h: compiling is the test. Refuses to run anything.
// The numbers hold on x86-64 and aarch64 alike (both LP64 with natural alignment). A line that no longer compiles means that binaries built against
// the released header break: append instead, or make a new major with a new entry symbol. tests/rules/abi_coverage.py refuses a field without a line.
#include <rocforge/plugin.h>
#include <rocforge/rocforge.h>

// ---- rocforge/plugin.h: structs

static_assert(sizeof(rf_error) == 512 && alignof(rf_error) == 4);
static_assert(offsetof(rf_error, struct_size) == 0);
static_assert(offsetof(rf_error, code) == 4);
static_assert(offsetof(rf_error, native) == 8);
static_assert(offsetof(rf_error, reserved) == 12);
static_assert(offsetof(rf_error, message) == 16);

static_assert(sizeof(rf_dtype) == 4 && alignof(rf_dtype) == 2);
static_assert(offsetof(rf_dtype, code) == 0);
static_assert(offsetof(rf_dtype, bits) == 1);
static_assert(offsetof(rf_dtype, lanes) == 2);

static_assert(sizeof(rf_tensor) == 72 && alignof(rf_tensor) == 8);
static_assert(offsetof(rf_tensor, dtype) == 0);
static_assert(offsetof(rf_tensor, align) == 4);
static_assert(offsetof(rf_tensor, shape) == 8);
static_assert(offsetof(rf_tensor, stride) == 40);

static_assert(sizeof(rf_device) == 56 && alignof(rf_device) == 8);
static_assert(offsetof(rf_device, struct_size) == 0);
static_assert(offsetof(rf_device, kind) == 4);
static_assert(offsetof(rf_device, ordinal) == 8);
static_assert(offsetof(rf_device, wave_size) == 12);
static_assert(offsetof(rf_device, compute_units) == 16);
static_assert(offsetof(rf_device, lds_bytes) == 20);
static_assert(offsetof(rf_device, memory_bytes) == 24);
static_assert(offsetof(rf_device, arch) == 32);
static_assert(offsetof(rf_device, name) == 40);
static_assert(offsetof(rf_device, runtime) == 48);

static_assert(sizeof(rf_problem) == 680 && alignof(rf_problem) == 8);
static_assert(offsetof(rf_problem, struct_size) == 0);
static_assert(offsetof(rf_problem, reserved) == 4);
static_assert(offsetof(rf_problem, features) == 8);
static_assert(offsetof(rf_problem, batch) == 16);
static_assert(offsetof(rf_problem, max_seq_q) == 24);
static_assert(offsetof(rf_problem, max_seq_kv) == 32);
static_assert(offsetof(rf_problem, page_size) == 40);
static_assert(offsetof(rf_problem, block_table_stride) == 48);
static_assert(offsetof(rf_problem, q) == 56);
static_assert(offsetof(rf_problem, k) == 128);
static_assert(offsetof(rf_problem, v) == 200);
static_assert(offsetof(rf_problem, out) == 272);
static_assert(offsetof(rf_problem, mask) == 344);
static_assert(offsetof(rf_problem, lse) == 416);
static_assert(offsetof(rf_problem, k_scale) == 488);
static_assert(offsetof(rf_problem, v_scale) == 560);
static_assert(offsetof(rf_problem, index_dtype) == 632);
static_assert(offsetof(rf_problem, scale) == 636);
static_assert(offsetof(rf_problem, softcap) == 640);
static_assert(offsetof(rf_problem, dropout_p) == 644);
static_assert(offsetof(rf_problem, window_left) == 648);
static_assert(offsetof(rf_problem, window_right) == 656);
static_assert(offsetof(rf_problem, diagonal) == 664);
static_assert(offsetof(rf_problem, workspace_limit_bytes) == 672);

static_assert(sizeof(rf_reason) == 40 && alignof(rf_reason) == 8);
static_assert(offsetof(rf_reason, struct_size) == 0);
static_assert(offsetof(rf_reason, code) == 4);
static_assert(offsetof(rf_reason, field) == 8);
static_assert(offsetof(rf_reason, have) == 16);
static_assert(offsetof(rf_reason, need) == 24);
static_assert(offsetof(rf_reason, hint) == 32);

static_assert(sizeof(rf_sink) == 24 && alignof(rf_sink) == 8);
static_assert(offsetof(rf_sink, struct_size) == 0);
static_assert(offsetof(rf_sink, reserved) == 4);
static_assert(offsetof(rf_sink, self) == 8);
static_assert(offsetof(rf_sink, report) == 16);

static_assert(sizeof(rf_kv_layout) == 40 && alignof(rf_kv_layout) == 8);
static_assert(offsetof(rf_kv_layout, struct_size) == 0);
static_assert(offsetof(rf_kv_layout, kind) == 4);
static_assert(offsetof(rf_kv_layout, page_min) == 8);
static_assert(offsetof(rf_kv_layout, page_max) == 16);
static_assert(offsetof(rf_kv_layout, page_multiple) == 24);
static_assert(offsetof(rf_kv_layout, align) == 32);
static_assert(offsetof(rf_kv_layout, order) == 36);

static_assert(sizeof(rf_plan_info) == 40 && alignof(rf_plan_info) == 8);
static_assert(offsetof(rf_plan_info, struct_size) == 0);
static_assert(offsetof(rf_plan_info, flags) == 4);
static_assert(offsetof(rf_plan_info, workspace_bytes) == 8);
static_assert(offsetof(rf_plan_info, zeroed_bytes) == 16);
static_assert(offsetof(rf_plan_info, estimate_us) == 24);
static_assert(offsetof(rf_plan_info, kernel) == 32);

static_assert(sizeof(rf_args) == 192 && alignof(rf_args) == 8);
static_assert(offsetof(rf_args, struct_size) == 0);
static_assert(offsetof(rf_args, reserved) == 4);
static_assert(offsetof(rf_args, q) == 8);
static_assert(offsetof(rf_args, k) == 16);
static_assert(offsetof(rf_args, v) == 24);
static_assert(offsetof(rf_args, out) == 32);
static_assert(offsetof(rf_args, lse) == 40);
static_assert(offsetof(rf_args, mask) == 48);
static_assert(offsetof(rf_args, alibi_slopes) == 56);
static_assert(offsetof(rf_args, sink) == 64);
static_assert(offsetof(rf_args, kv_lengths) == 72);
static_assert(offsetof(rf_args, cu_seqlens_q) == 80);
static_assert(offsetof(rf_args, cu_seqlens_kv) == 88);
static_assert(offsetof(rf_args, block_table) == 96);
static_assert(offsetof(rf_args, k_scale) == 104);
static_assert(offsetof(rf_args, v_scale) == 112);
static_assert(offsetof(rf_args, workspace) == 120);
static_assert(offsetof(rf_args, zeroed) == 128);
static_assert(offsetof(rf_args, workspace_bytes) == 136);
static_assert(offsetof(rf_args, dropout_seed) == 144);
static_assert(offsetof(rf_args, dropout_offset) == 152);
static_assert(offsetof(rf_args, live_batch) == 160);
static_assert(offsetof(rf_args, live_seq_q) == 168);
static_assert(offsetof(rf_args, live_seq_kv) == 176);
static_assert(offsetof(rf_args, stream) == 184);

static_assert(sizeof(rf_host_api) == 64 && alignof(rf_host_api) == 8);
static_assert(offsetof(rf_host_api, struct_size) == 0);
static_assert(offsetof(rf_host_api, abi_minor) == 4);
static_assert(offsetof(rf_host_api, self) == 8);
static_assert(offsetof(rf_host_api, workers) == 16);
static_assert(offsetof(rf_host_api, reserved) == 20);
static_assert(offsetof(rf_host_api, register_backend) == 24);
static_assert(offsetof(rf_host_api, log) == 32);
static_assert(offsetof(rf_host_api, option) == 40);
static_assert(offsetof(rf_host_api, parallel_for) == 48);
static_assert(offsetof(rf_host_api, extension) == 56);

static_assert(sizeof(rf_option) == 40 && alignof(rf_option) == 8);
static_assert(offsetof(rf_option, struct_size) == 0);
static_assert(offsetof(rf_option, reserved) == 4);
static_assert(offsetof(rf_option, key) == 8);
static_assert(offsetof(rf_option, values) == 16);
static_assert(offsetof(rf_option, preset) == 24);
static_assert(offsetof(rf_option, help) == 32);

static_assert(sizeof(rf_backend_api) == 144 && alignof(rf_backend_api) == 8);
static_assert(offsetof(rf_backend_api, struct_size) == 0);
static_assert(offsetof(rf_backend_api, abi_minor) == 4);
static_assert(offsetof(rf_backend_api, name) == 8);
static_assert(offsetof(rf_backend_api, version) == 16);
static_assert(offsetof(rf_backend_api, vendor) == 24);
static_assert(offsetof(rf_backend_api, features) == 32);
static_assert(offsetof(rf_backend_api, flags) == 40);
static_assert(offsetof(rf_backend_api, sanitizer) == 44);
static_assert(offsetof(rf_backend_api, device_kind) == 48);
static_assert(offsetof(rf_backend_api, reserved) == 52);
static_assert(offsetof(rf_backend_api, options) == 56);
static_assert(offsetof(rf_backend_api, init) == 64);
static_assert(offsetof(rf_backend_api, shutdown) == 72);
static_assert(offsetof(rf_backend_api, device) == 80);
static_assert(offsetof(rf_backend_api, describe) == 88);
static_assert(offsetof(rf_backend_api, supports) == 96);
static_assert(offsetof(rf_backend_api, kv_layout) == 104);
static_assert(offsetof(rf_backend_api, plan) == 112);
static_assert(offsetof(rf_backend_api, forward) == 120);
static_assert(offsetof(rf_backend_api, plan_free) == 128);
static_assert(offsetof(rf_backend_api, extension) == 136);

static_assert(sizeof(rf_memory_api) == 64 && alignof(rf_memory_api) == 8);
static_assert(offsetof(rf_memory_api, struct_size) == 0);
static_assert(offsetof(rf_memory_api, reserved) == 4);
static_assert(offsetof(rf_memory_api, allocate) == 8);
static_assert(offsetof(rf_memory_api, release) == 16);
static_assert(offsetof(rf_memory_api, to_device) == 24);
static_assert(offsetof(rf_memory_api, to_host) == 32);
static_assert(offsetof(rf_memory_api, stream_create) == 40);
static_assert(offsetof(rf_memory_api, stream_destroy) == 48);
static_assert(offsetof(rf_memory_api, synchronize) == 56);

static_assert(sizeof(rf_timer_api) == 40 && alignof(rf_timer_api) == 8);
static_assert(offsetof(rf_timer_api, struct_size) == 0);
static_assert(offsetof(rf_timer_api, reserved) == 4);
static_assert(offsetof(rf_timer_api, create) == 8);
static_assert(offsetof(rf_timer_api, destroy) == 16);
static_assert(offsetof(rf_timer_api, record) == 24);
static_assert(offsetof(rf_timer_api, elapsed_us) == 32);

static_assert(sizeof(rf_graph_api) == 40 && alignof(rf_graph_api) == 8);
static_assert(offsetof(rf_graph_api, struct_size) == 0);
static_assert(offsetof(rf_graph_api, reserved) == 4);
static_assert(offsetof(rf_graph_api, begin) == 8);
static_assert(offsetof(rf_graph_api, end) == 16);
static_assert(offsetof(rf_graph_api, replay) == 24);
static_assert(offsetof(rf_graph_api, destroy) == 32);

// ---- rocforge/rocforge.h: structs

static_assert(sizeof(rocforge_hooks) == 56 && alignof(rocforge_hooks) == 8);
static_assert(offsetof(rocforge_hooks, struct_size) == 0);
static_assert(offsetof(rocforge_hooks, reserved) == 4);
static_assert(offsetof(rocforge_hooks, self) == 8);
static_assert(offsetof(rocforge_hooks, log) == 16);
static_assert(offsetof(rocforge_hooks, allocate) == 24);
static_assert(offsetof(rocforge_hooks, release) == 32);
static_assert(offsetof(rocforge_hooks, parallel_for) == 40);
static_assert(offsetof(rocforge_hooks, workers) == 48);
static_assert(offsetof(rocforge_hooks, reserved2) == 52);

static_assert(sizeof(rocforge_plugin_info) == 32 && alignof(rocforge_plugin_info) == 8);
static_assert(offsetof(rocforge_plugin_info, struct_size) == 0);
static_assert(offsetof(rocforge_plugin_info, status) == 4);
static_assert(offsetof(rocforge_plugin_info, path) == 8);
static_assert(offsetof(rocforge_plugin_info, origin) == 16);
static_assert(offsetof(rocforge_plugin_info, reason) == 24);

static_assert(sizeof(rocforge_backend_info) == 64 && alignof(rocforge_backend_info) == 8);
static_assert(offsetof(rocforge_backend_info, struct_size) == 0);
static_assert(offsetof(rocforge_backend_info, device_kind) == 4);
static_assert(offsetof(rocforge_backend_info, name) == 8);
static_assert(offsetof(rocforge_backend_info, version) == 16);
static_assert(offsetof(rocforge_backend_info, vendor) == 24);
static_assert(offsetof(rocforge_backend_info, features) == 32);
static_assert(offsetof(rocforge_backend_info, flags) == 40);
static_assert(offsetof(rocforge_backend_info, plugin_index) == 44);
static_assert(offsetof(rocforge_backend_info, order_rank) == 48);
static_assert(offsetof(rocforge_backend_info, dropped_in) == 52);
static_assert(offsetof(rocforge_backend_info, options) == 56);

static_assert(sizeof(rocforge_setting) == 32 && alignof(rocforge_setting) == 8);
static_assert(offsetof(rocforge_setting, struct_size) == 0);
static_assert(offsetof(rocforge_setting, reserved) == 4);
static_assert(offsetof(rocforge_setting, key) == 8);
static_assert(offsetof(rocforge_setting, value) == 16);
static_assert(offsetof(rocforge_setting, origin) == 24);

static_assert(sizeof(rocforge_place) == 32 && alignof(rocforge_place) == 8);
static_assert(offsetof(rocforge_place, struct_size) == 0);
static_assert(offsetof(rocforge_place, status) == 4);
static_assert(offsetof(rocforge_place, path) == 8);
static_assert(offsetof(rocforge_place, origin) == 16);
static_assert(offsetof(rocforge_place, reason) == 24);

static_assert(sizeof(rocforge_choice_info) == 32 && alignof(rocforge_choice_info) == 8);
static_assert(offsetof(rocforge_choice_info, struct_size) == 0);
static_assert(offsetof(rocforge_choice_info, device_kind) == 4);
static_assert(offsetof(rocforge_choice_info, backend) == 8);
static_assert(offsetof(rocforge_choice_info, why) == 16);
static_assert(offsetof(rocforge_choice_info, fell_back) == 24);
static_assert(offsetof(rocforge_choice_info, candidates) == 28);

static_assert(sizeof(rocforge_candidate) == 32 && alignof(rocforge_candidate) == 8);
static_assert(offsetof(rocforge_candidate, struct_size) == 0);
static_assert(offsetof(rocforge_candidate, device_kind) == 4);
static_assert(offsetof(rocforge_candidate, name) == 8);
static_assert(offsetof(rocforge_candidate, supported) == 16);
static_assert(offsetof(rocforge_candidate, reasons) == 20);
static_assert(offsetof(rocforge_candidate, dropped_in) == 24);
static_assert(offsetof(rocforge_candidate, partial) == 28);

static_assert(sizeof(rocforge_plan_details) == 56 && alignof(rocforge_plan_details) == 8);
static_assert(offsetof(rocforge_plan_details, struct_size) == 0);
static_assert(offsetof(rocforge_plan_details, flags) == 4);
static_assert(offsetof(rocforge_plan_details, backend) == 8);
static_assert(offsetof(rocforge_plan_details, kernel) == 16);
static_assert(offsetof(rocforge_plan_details, why) == 24);
static_assert(offsetof(rocforge_plan_details, device_kind) == 32);
static_assert(offsetof(rocforge_plan_details, fell_back) == 36);
static_assert(offsetof(rocforge_plan_details, workspace_bytes) == 40);
static_assert(offsetof(rocforge_plan_details, zeroed_bytes) == 48);

// ---- Constants: compiled into callers and plugins, so a changed value is as incompatible as a moved field

static_assert(RF_OK == 0);
static_assert(RF_UNSUPPORTED == 1);
static_assert(RF_INVALID == 2);
static_assert(RF_NO_MEMORY == 3);
static_assert(RF_UNAVAILABLE == 4);
static_assert(RF_INCOMPATIBLE == 5);
static_assert(RF_DEVICE == 6);
static_assert(RF_INTERNAL == 7);
static_assert(RF_NOT_FOUND == 8);

static_assert(RF_T_INT == 0);
static_assert(RF_T_UINT == 1);
static_assert(RF_T_FLOAT == 2);
static_assert(RF_T_BFLOAT == 4);
static_assert(RF_T_BOOL == 6);
static_assert(RF_T_F8_E4M3FN == 10);
static_assert(RF_T_F8_E4M3FNUZ == 11);
static_assert(RF_T_F8_E5M2 == 12);
static_assert(RF_T_F8_E5M2FNUZ == 13);
static_assert(RF_T_F8_E8M0FNU == 14);
static_assert(RF_T_F4_E2M1FN == 17);

static_assert(RF_DEVICE_CPU == 1);
static_assert(RF_DEVICE_CUDA == 2);
static_assert(RF_DEVICE_ROCM == 10);

static_assert(RF_R_ARCH == 1);
static_assert(RF_R_DTYPE == 2);
static_assert(RF_R_HEAD_DIM == 3);
static_assert(RF_R_SEQUENCE == 4);
static_assert(RF_R_SHAPE == 5);
static_assert(RF_R_STRIDE == 6);
static_assert(RF_R_ALIGN == 7);
static_assert(RF_R_FEATURE == 8);
static_assert(RF_R_COMBINATION == 9);
static_assert(RF_R_WORKSPACE == 10);
static_assert(RF_R_KV_LAYOUT == 11);
static_assert(RF_R_DEPENDENCY == 12);
static_assert(RF_R_DRIVER == 13);
static_assert(RF_R_NOT_BUILT == 14);
static_assert(RF_R_DISABLED == 15);
static_assert(RF_R_DEVICE_KIND == 16);
static_assert(RF_R_FAULT == 17);

static_assert(RF_KV_CONTIGUOUS == 1);
static_assert(RF_KV_PAGED == 2);

static_assert(RF_LOG_TRACE == 0);
static_assert(RF_LOG_DEBUG == 1);
static_assert(RF_LOG_INFO == 2);
static_assert(RF_LOG_WARN == 3);
static_assert(RF_LOG_ERROR == 4);

static_assert(RF_SANITIZER_NONE == 0);
static_assert(RF_SANITIZER_ADDRESS == 1);
static_assert(RF_SANITIZER_MEMORY == 2);
static_assert(RF_SANITIZER_THREAD == 3);

static_assert(ROCFORGE_LOADED == 0);
static_assert(ROCFORGE_REFUSED == 1);
static_assert(ROCFORGE_DISABLED == 2);

static_assert(RF_F_CAUSAL == 1ull << 0);
static_assert(RF_F_BOTTOM_RIGHT == 1ull << 1);
static_assert(RF_F_WINDOW == 1ull << 2);
static_assert(RF_F_GROUPED_HEADS == 1ull << 3);
static_assert(RF_F_MASK_BOOL == 1ull << 4);
static_assert(RF_F_MASK_ADD == 1ull << 5);
static_assert(RF_F_ALIBI == 1ull << 6);
static_assert(RF_F_SOFTCAP == 1ull << 7);
static_assert(RF_F_SINK == 1ull << 8);
static_assert(RF_F_KV_LENGTHS == 1ull << 9);
static_assert(RF_F_RAGGED_Q == 1ull << 10);
static_assert(RF_F_PAGED_KV == 1ull << 11);
static_assert(RF_F_LSE == 1ull << 12);
static_assert(RF_F_DIM_V == 1ull << 13);
static_assert(RF_F_DROPOUT == 1ull << 14);
static_assert(RF_F_DETERMINISTIC == 1ull << 15);
static_assert(RF_F_KV_DTYPE == 1ull << 16);
static_assert(RF_F_KV_SCALES == 1ull << 17);
static_assert(RF_F_RAGGED_KV == 1ull << 18);
static_assert(RF_F_DIAGONAL == 1ull << 19);
static_assert(RF_F_OUT_DTYPE == 1ull << 20);
static_assert(RF_F_ALL == (1ull << 21) - 1);
static_assert(RF_P_CAPTURABLE == 1u);
static_assert(RF_P_DETERMINISTIC == 2u);
static_assert(RF_B_UNLOADABLE == 1u);
static_assert(RF_B_APPROXIMATE == 2u);

static_assert(RF_ABI_MAJOR == 1);
