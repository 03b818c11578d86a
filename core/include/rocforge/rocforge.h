/* rocforge's host API: describe an attention problem, get the backend that runs it here, run it. Stable C11; problems, tensors, devices,
 * arguments and errors are plugin.h's types.
 *
 * Every function may be called from any thread, also at once, unless it says otherwise. Errors are caller-owned rf_error structs and may be
 * NULL. Structs that the caller passes to be filled carry struct_size, set by the caller: fields that a newer library would add are left
 * alone. Strings handed out live until the context (or the choice, or the plan) they came from is gone. Nothing here throws or exits. */
#ifndef ROCFORGE_ROCFORGE_H
#define ROCFORGE_ROCFORGE_H

#include <rocforge/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ROCFORGE_API __attribute__((visibility("default")))

typedef struct rocforge_context rocforge_context;   /* configuration, plugins, plan cache */
typedef struct rocforge_choice rocforge_choice;     /* what selection decided, and why not the others */
typedef struct rocforge_plan_t rocforge_plan_t;     /* one problem made ready on one device; reference-counted, immutable */
typedef struct rocforge_device_t rocforge_device_t; /* memory, streams, clock and graphs of one device, as one backend lends them */

/* What a host may lend to the library. Slots may be NULL: logs then go to stderr, memory comes from the library, threads from oneTBB.
 * All slots are called from any thread, also at once, live as long as the context and its plans, and do not call back into the context. */
typedef struct rocforge_hooks {
    uint32_t struct_size, reserved;
    void* self; /* first argument of every slot */
    void (*log)(void* self, int32_t level /* RF_LOG_* */, const char* message);
    /* Workspace and zeroed memory of rocforge_attention: 256-aligned, usable on `stream`; NULL when there is none left. */
    void* (*allocate)(void* self, const rf_device*, uint64_t bytes, void* stream);
    /* Work on `stream` may still use it. From rocforge_close, `stream` is NULL and no work does. */
    void (*release)(void* self, const rf_device*, void* memory, void* stream);
    /* As parallel_for of rf_host_api. `workers` is the number of threads that it may use. */
    void (*parallel_for)(void* self, int64_t n, uint32_t max_workers, void (*body)(void*, int64_t, int64_t, uint32_t), void* arg);
    uint32_t workers, reserved2;
} rocforge_hooks;

/* ---- A context ---------------------------------------------------------------------------------------------------------------------- */

/* "0.1.0" */
ROCFORGE_API const char* rocforge_version(void);

/* Reads the configuration (`config`, or NULL for ROCFORGE_CONFIG and the usual places), finds plugins and loads them. Starts no thread and
 * touches no device. A plugin that does not load is no error: rocforge_plugin() lists it with its reason.
 * RF_NOT_FOUND: `config` cannot be read; RF_INVALID: a configuration file is wrong ("rocforge.toml:7:3: ..."). */
ROCFORGE_API rf_code rocforge_open(const char* config_or_null, const rocforge_hooks* hooks_or_null, rocforge_context**, rf_error*);
/* Plans and choices keep what they need alive. Not beside another call for this context, and once the work of rocforge_attention is done. NULL is
 * fine. */
ROCFORGE_API void rocforge_close(rocforge_context*);

/* Loads one more plugin file (trust and ELF checks apply, its folder's place in the search order does not). */
ROCFORGE_API rf_code rocforge_load(rocforge_context*, const char* file, rf_error*);
/* Registers a backend compiled into the host. The table is constant and outlives the process. RF_INVALID: incomplete, or (name, kind) taken. */
ROCFORGE_API rf_code rocforge_register(rocforge_context*, const rf_backend_api*, rf_error*);
/* Makes `backend` the default of selection, in place of select.default; NULL: none. RF_NOT_FOUND names the nearest. */
ROCFORGE_API rf_code rocforge_set_default(rocforge_context*, const char* backend, rf_error*);

/* ---- What is there: index from 0 until RF_NOT_FOUND ----------------------------------------------------------------------------------- */

enum { ROCFORGE_LOADED = 0, ROCFORGE_REFUSED = 1, ROCFORGE_DISABLED = 2 };
typedef struct rocforge_plugin_info {
    uint32_t struct_size;
    int32_t status;     /* ROCFORGE_LOADED, _REFUSED, _DISABLED */
    const char* path;   /* as found; "" for backends that the host registered */
    const char* origin; /* what led there: "ROCFORGE_PLUGIN_PATH", "/etc/rocforge/rocforge.toml:2", "installed" */
    const char* reason; /* why not; "" when loaded */
} rocforge_plugin_info;
ROCFORGE_API rf_code rocforge_plugin(rocforge_context*, uint32_t index, rocforge_plugin_info*);

typedef struct rocforge_backend_info {
    uint32_t struct_size;
    int32_t device_kind; /* RF_DEVICE_* */
    const char *name, *version, *vendor;
    rf_features features;
    uint32_t flags;                  /* RF_B_* */
    uint32_t plugin_index;           /* of rocforge_plugin() */
    int32_t order_rank;              /* place in select.order after "*" is spelt out; -1: chosen only by name */
    uint32_t dropped_in;             /* 1: stands in the order through "*" alone: nobody named it */
    const rf_option* const* options; /* as declared; may be NULL */
} rocforge_backend_info;
/* In the order of registration. */
ROCFORGE_API rf_code rocforge_backend(rocforge_context*, uint32_t index, rocforge_backend_info*);
/* The backend of that name, of `device_kind` or (0) the first of any kind. RF_NOT_FOUND names the nearest, RF_UNAVAILABLE says why its plugin was
 * refused. */
ROCFORGE_API rf_code rocforge_find_backend(rocforge_context*, const char* name, int32_t device_kind, rocforge_backend_info*, rf_error*);

/* A backend's index-th device. RF_UNAVAILABLE: it has none, with the reason. */
ROCFORGE_API rf_code rocforge_device(rocforge_context*, const char* backend, int32_t device_kind, uint32_t index, rf_device*, rf_error*);
/* A device by name: "cpu", "rocm:0", "cuda:1", or an arch that a backend describes ("gfx942"; then ordinal is -1 and nothing can run on it).
 * NULL: the first device of `backend`, or of the first backend in order that has one. */
ROCFORGE_API rf_code rocforge_find_device(rocforge_context*, const char* name_or_null, const char* backend_or_null, rf_device*, rf_error*);

typedef struct rocforge_setting {
    uint32_t struct_size, reserved;
    const char* key;    /* "select.fallback" */
    const char* value;  /* in TOML's spelling: "\"error\"" */
    const char* origin; /* "/etc/rocforge/rocforge.toml:7:1", "ROCFORGE_BACKEND", "shipped defaults ..." */
} rocforge_setting;
/* The configuration in force. */
ROCFORGE_API rf_code rocforge_config(rocforge_context*, uint32_t index, rocforge_setting*);

/* A folder or file that was looked at. */
typedef struct rocforge_place {
    uint32_t struct_size;
    int32_t status; /* ROCFORGE_LOADED: searched, read; ROCFORGE_REFUSED: reason says why not; ROCFORGE_DISABLED: does not exist */
    const char *path, *origin, *reason;
} rocforge_place;
/* Configuration files in the order of reading: later ones win, key by key. */
ROCFORGE_API rf_code rocforge_config_file(rocforge_context*, uint32_t index, rocforge_place*);
/* Where plugins were looked for, in search order. */
ROCFORGE_API rf_code rocforge_searched(rocforge_context*, uint32_t index, rocforge_place*);
/* What deserves attention and is no error: an unknown name in select.order, an option nobody declares. */
ROCFORGE_API rf_code rocforge_warning(rocforge_context*, uint32_t index, const char** text);

/* ---- A problem ------------------------------------------------------------------------------------------------------------------------- */

/* Scale NaN (1/sqrt(dim)), windows -1, no workspace limit; everything else 0. struct_size is the caller's sizeof(rf_problem): a newer library writes
 * no further. C and C++ call rocforge_problem_init(); this is what bindings of other languages call. */
ROCFORGE_API void rocforge_problem_init_sized(rf_problem*, uint32_t struct_size);
static inline void rocforge_problem_init(rf_problem* problem) { rocforge_problem_init_sized(problem, (uint32_t)sizeof(rf_problem)); }
/* Makes a problem that was initialised dense: contiguous q, out [batch, head_q, seq_q, dim], k, v [batch, head_kv, seq_kv, dim], all of `dtype`. */
ROCFORGE_API void rocforge_problem_set_dense(rf_problem*, rf_dtype dtype, int64_t batch, int64_t head_q, int64_t head_kv, int64_t seq_q,
                                             int64_t seq_kv, int64_t dim);
/* Both. */
static inline void rocforge_problem_dense(rf_problem* problem, rf_dtype dtype, int64_t batch, int64_t head_q, int64_t head_kv, int64_t seq_q,
                                          int64_t seq_kv, int64_t dim) {
    rocforge_problem_init(problem);
    rocforge_problem_set_dense(problem, dtype, batch, head_q, head_kv, seq_q, seq_kv, dim);
}
/* A contiguous tensor of that shape, alignment one element. */
ROCFORGE_API rf_tensor rocforge_tensor(rf_dtype dtype, int64_t axis0, int64_t axis1, int64_t axis2, int64_t axis3);

/* ---- Selection --------------------------------------------------------------------------------------------------------------------------- */

/* Decides which backend runs `problem` on `device`. RF_OK, or RF_UNSUPPORTED: none does, or the named one refuses; in both cases *choice holds
 * every candidate's verdict. RF_INVALID: no backend could (the error says which field); RF_NOT_FOUND, RF_UNAVAILABLE: as rocforge_find_backend;
 * then *choice is NULL. `backend` is a named choice, before ROCFORGE_BACKEND, rules and default. */
ROCFORGE_API rf_code rocforge_select(rocforge_context*, const rf_device*, const rf_problem*, const char* backend_or_null, rocforge_choice**,
                                     rf_error*);
ROCFORGE_API void rocforge_choice_release(rocforge_choice*);

typedef struct rocforge_choice_info {
    uint32_t struct_size;
    int32_t device_kind;
    const char* backend; /* the winner, or NULL */
    const char* why;     /* what named the winner: "the caller's choice", "ROCFORGE_BACKEND", "select.rule, /etc/rocforge/rocforge.toml:12:1", ...;
                          * without a winner, one line that says so */
    uint32_t fell_back;  /* 1: a named choice refused and select.fallback let the order decide */
    uint32_t candidates;
} rocforge_choice_info;
ROCFORGE_API void rocforge_choice_describe(const rocforge_choice*, rocforge_choice_info*);

typedef struct rocforge_candidate {
    uint32_t struct_size;
    int32_t device_kind;
    const char* name;
    uint32_t supported;  /* 1: it would run this problem */
    uint32_t reasons;    /* why not */
    uint32_t dropped_in; /* as in rocforge_backend_info */
    uint32_t partial;    /* 1: a feature bit is missing, so that its further limits were not examined */
} rocforge_candidate;
ROCFORGE_API rf_code rocforge_choice_candidate(const rocforge_choice*, uint32_t index, rocforge_candidate*);
ROCFORGE_API rf_code rocforge_choice_reason(const rocforge_choice*, uint32_t candidate, uint32_t index, rf_reason*);
/* "head_dim": RF_R_HEAD_DIM as programs read it; "unknown" for a code that this library does not know. */
ROCFORGE_API const char* rocforge_reason_name(int32_t code);
/* "cpu", "cuda", "rocm": RF_DEVICE_* as programs read it; "unknown" for a kind that this library does not know. */
ROCFORGE_API const char* rocforge_kind_name(int32_t device_kind);
/* "causal": the feature of bit 0, as in the reasons' texts; NULL for a bit that this library does not know, so that bits can be counted up. */
ROCFORGE_API const char* rocforge_feature_name(uint32_t bit);
/* "RF_INVALID" and so on. */
ROCFORGE_API const char* rocforge_code_name(rf_code code);

/* Which layouts of K and V the backend that would be chosen takes, best first: ask before allocating a cache. RF_NOT_FOUND past the last. */
ROCFORGE_API rf_code rocforge_kv_layout(rocforge_context*, const rf_device*, const rf_problem*, uint32_t index, rf_kv_layout*, rf_error*);

/* ---- Plan and forward -------------------------------------------------------------------------------------------------------------------- */

/* Selects and plans. Plans of equal problems are shared: they come from a cache that keeps the 256 used last. Release what you get. */
ROCFORGE_API rf_code rocforge_plan(rocforge_context*, const rf_device*, const rf_problem*, rocforge_plan_t**, rf_error*);
/* Plans what rocforge_select decided; no cache. */
ROCFORGE_API rf_code rocforge_plan_choice(const rocforge_choice*, rocforge_plan_t**, rf_error*);
ROCFORGE_API rocforge_plan_t* rocforge_plan_retain(rocforge_plan_t*);
/* May be called as soon as forward has returned, though work is still enqueued. */
ROCFORGE_API void rocforge_plan_release(rocforge_plan_t*);

typedef struct rocforge_plan_details {
    uint32_t struct_size;
    uint32_t flags; /* RF_P_* */
    const char *backend, *kernel;
    const char* why;
    int32_t device_kind;
    uint32_t fell_back;
    uint64_t workspace_bytes, zeroed_bytes;
} rocforge_plan_details;
ROCFORGE_API void rocforge_plan_describe(const rocforge_plan_t*, rocforge_plan_details*);

/* out = softmax(scale * q k^T) v as the plan's problem says. Enqueues on args->stream; on the CPU it is done when this returns. Allocates nothing.
 * workspace and zeroed are 256-aligned; calls that may overlap need distinct ones. RF_INVALID: a pointer is missing, misaligned or the workspace is
 * too small. */
ROCFORGE_API rf_code rocforge_forward(const rocforge_plan_t*, const rf_args*, rf_error*);
/* One call: plan from the cache, workspace and zeroed memory from the hooks (args->workspace and zeroed are ignored). The problem's align fields are
 * ignored too: the pointers' own alignment is used, rounded down to 1 element, 16 or 256 bytes.
 * Zeroed memory on a device is zeroed through the backend's rocforge.memory/1, which waits for the stream, and kept for the next call of the same
 * backend on that stream until rocforge_close. So a stream is one queue (no handle that means another one on each thread), is not being captured,
 * and its work is done before it is destroyed. RF_UNAVAILABLE: the hooks lend no memory of the device, or the backend no rocforge.memory/1. */
ROCFORGE_API rf_code rocforge_attention(rocforge_context*, const rf_device*, const rf_problem*, const rf_args*, rf_error*);

/* ---- A device's memory ------------------------------------------------------------------------------------------------------------------- */

/* For hosts that have no GPU runtime of their own: what the extensions of plugin.h (rocforge.memory/1, timer/1 and graph/1) offer, each call one
 * slot of theirs. Nothing else in this library copies between devices, but for the zeros of rocforge_attention. Streams, marks and graphs are opaque;
 * a stream goes into rf_args.stream, and NULL is the device's default stream. Every function but open takes NULL for what it destroys as nothing to
 * do. What a device failed at since the last wait is an error of the call that waits: RF_DEVICE, with the backend's words. */

/* The device as `backend` lends it. RF_UNSUPPORTED: its memory is the host's (every CPU), or the backend lends none; RF_INCOMPATIBLE: its table lacks
 * a slot; RF_UNAVAILABLE: it has no such device. Keeps the context's plugins alive, as plans do. */
ROCFORGE_API rf_code rocforge_device_open(rocforge_context*, const rf_device*, const char* backend, rocforge_device_t**, rf_error*);
/* After everything that it made was given back. Not beside another call for this handle. */
ROCFORGE_API void rocforge_device_close(rocforge_device_t*);

/* Memory of the device, 256-aligned, contents undefined, never NULL on RF_OK, 0 bytes included. RF_NO_MEMORY where there is none left. */
ROCFORGE_API rf_code rocforge_device_allocate(rocforge_device_t*, uint64_t bytes, void** memory, rf_error*);
/* Once no enqueued work uses it. */
ROCFORGE_API void rocforge_device_release(rocforge_device_t*, void* memory);
/* Copies start when `stream` has done what was enqueued before and are over when they return. */
ROCFORGE_API rf_code rocforge_copy_to_device(rocforge_device_t*, void* to, const void* from_host, uint64_t bytes, void* stream, rf_error*);
ROCFORGE_API rf_code rocforge_copy_to_host(rocforge_device_t*, void* to_host, const void* from, uint64_t bytes, void* stream, rf_error*);

/* A stream that runs beside the default stream. */
ROCFORGE_API rf_code rocforge_stream_create(rocforge_device_t*, void** stream, rf_error*);
ROCFORGE_API void rocforge_stream_destroy(rocforge_device_t*, void* stream);
/* Waits until the stream has done what was enqueued. */
ROCFORGE_API rf_code rocforge_stream_synchronize(rocforge_device_t*, void* stream, rf_error*);

/* Marks: moments by the device's own clock. RF_UNSUPPORTED: the backend lends no rocforge.timer/1. */
ROCFORGE_API rf_code rocforge_mark_create(rocforge_device_t*, void** mark, rf_error*);
ROCFORGE_API void rocforge_mark_destroy(rocforge_device_t*, void* mark);
/* Enqueues; overwrites an earlier moment. */
ROCFORGE_API rf_code rocforge_mark_record(rocforge_device_t*, void* mark, void* stream, rf_error*);
/* Waits for both. */
ROCFORGE_API rf_code rocforge_mark_elapsed_us(rocforge_device_t*, void* first, void* second, double* us, rf_error*);

/* Graphs: what is enqueued on a stream (not the default one) between begin and end is kept instead of run, to be replayed with the same pointers.
 * RF_UNSUPPORTED: the backend lends no rocforge.graph/1. Only plans with RF_P_CAPTURABLE may be run in between. */
ROCFORGE_API rf_code rocforge_graph_begin(rocforge_device_t*, void* stream, rf_error*);
ROCFORGE_API rf_code rocforge_graph_end(rocforge_device_t*, void* stream, void** graph, rf_error*);
/* Enqueues. */
ROCFORGE_API rf_code rocforge_graph_replay(rocforge_device_t*, void* graph, void* stream, rf_error*);
/* Once no replay is under way. */
ROCFORGE_API void rocforge_graph_destroy(rocforge_device_t*, void* graph);

#ifdef __cplusplus
}
#endif
#endif
