/* Exports one function per struct of plugin.h and rocforge.h, taking a pointer to it: libabigail sees a type only where an exported function
 * reaches it, and the ABI itself hands tables out as const void *. Compared with abidiff between releases; nothing calls these. */
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
