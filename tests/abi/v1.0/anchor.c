/* Exports one function per struct of plugin.h and rocforge.h, taking a pointer to it, and one per function of rocforge.h, taking a pointer to that:
 * libabigail sees a type only where an exported function reaches it, and the ABI itself hands tables out as const void *. Compared with abidiff
 * between releases; nothing calls these. */
#include <rocforge/plugin.h>
#include <rocforge/rocforge.h>

RF_EXPORT void anchor_rf_error(const rf_error* p) { (void)p; }
RF_EXPORT void anchor_rf_dtype(const rf_dtype* p) { (void)p; }
RF_EXPORT void anchor_rf_tensor(const rf_tensor* p) { (void)p; }
RF_EXPORT void anchor_rf_device(const rf_device* p) { (void)p; }
RF_EXPORT void anchor_rf_problem(const rf_problem* p) { (void)p; }
RF_EXPORT void anchor_rf_reason(const rf_reason* p) { (void)p; }
RF_EXPORT void anchor_rf_sink(const rf_sink* p) { (void)p; }
RF_EXPORT void anchor_rf_kv_layout(const rf_kv_layout* p) { (void)p; }
RF_EXPORT void anchor_rf_plan_info(const rf_plan_info* p) { (void)p; }
RF_EXPORT void anchor_rf_args(const rf_args* p) { (void)p; }
RF_EXPORT void anchor_rf_host_api(const rf_host_api* p) { (void)p; }
RF_EXPORT void anchor_rf_option(const rf_option* p) { (void)p; }
RF_EXPORT void anchor_rf_backend_api(const rf_backend_api* p) { (void)p; }
RF_EXPORT void anchor_rf_memory_api(const rf_memory_api* p) { (void)p; }
RF_EXPORT void anchor_rf_timer_api(const rf_timer_api* p) { (void)p; }
RF_EXPORT void anchor_rf_graph_api(const rf_graph_api* p) { (void)p; }
RF_EXPORT void anchor_rocforge_hooks(const rocforge_hooks* p) { (void)p; }
RF_EXPORT void anchor_rocforge_plugin_info(const rocforge_plugin_info* p) { (void)p; }
RF_EXPORT void anchor_rocforge_backend_info(const rocforge_backend_info* p) { (void)p; }
RF_EXPORT void anchor_rocforge_setting(const rocforge_setting* p) { (void)p; }
RF_EXPORT void anchor_rocforge_place(const rocforge_place* p) { (void)p; }
RF_EXPORT void anchor_rocforge_choice_info(const rocforge_choice_info* p) { (void)p; }
RF_EXPORT void anchor_rocforge_candidate(const rocforge_candidate* p) { (void)p; }
RF_EXPORT void anchor_rocforge_plan_details(const rocforge_plan_details* p) { (void)p; }

/* A macro, since only a name can say which function is meant. */
#define ANCHOR(function) \
    RF_EXPORT void anchor_##function(__typeof__(function)* p) { (void)p; }
ANCHOR(rocforge_plugin_v1)
ANCHOR(rocforge_version)
ANCHOR(rocforge_open)
ANCHOR(rocforge_close)
ANCHOR(rocforge_load)
ANCHOR(rocforge_register)
ANCHOR(rocforge_set_default)
ANCHOR(rocforge_plugin)
ANCHOR(rocforge_backend)
ANCHOR(rocforge_find_backend)
ANCHOR(rocforge_device)
ANCHOR(rocforge_find_device)
ANCHOR(rocforge_config)
ANCHOR(rocforge_config_file)
ANCHOR(rocforge_searched)
ANCHOR(rocforge_warning)
ANCHOR(rocforge_problem_init_sized)
ANCHOR(rocforge_problem_set_dense)
ANCHOR(rocforge_tensor)
ANCHOR(rocforge_select)
ANCHOR(rocforge_choice_release)
ANCHOR(rocforge_choice_describe)
ANCHOR(rocforge_choice_candidate)
ANCHOR(rocforge_choice_reason)
ANCHOR(rocforge_reason_name)
ANCHOR(rocforge_kind_name)
ANCHOR(rocforge_feature_name)
ANCHOR(rocforge_code_name)
ANCHOR(rocforge_kv_layout)
ANCHOR(rocforge_plan)
ANCHOR(rocforge_plan_choice)
ANCHOR(rocforge_plan_retain)
ANCHOR(rocforge_plan_release)
ANCHOR(rocforge_plan_describe)
ANCHOR(rocforge_forward)
ANCHOR(rocforge_attention)
ANCHOR(rocforge_device_open)
ANCHOR(rocforge_device_close)
ANCHOR(rocforge_device_allocate)
ANCHOR(rocforge_device_release)
ANCHOR(rocforge_copy_to_device)
ANCHOR(rocforge_copy_to_host)
ANCHOR(rocforge_stream_create)
ANCHOR(rocforge_stream_destroy)
ANCHOR(rocforge_stream_synchronize)
ANCHOR(rocforge_mark_create)
ANCHOR(rocforge_mark_destroy)
ANCHOR(rocforge_mark_record)
ANCHOR(rocforge_mark_elapsed_us)
ANCHOR(rocforge_graph_begin)
ANCHOR(rocforge_graph_end)
ANCHOR(rocforge_graph_replay)
ANCHOR(rocforge_graph_destroy)
