#include "server.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

extern char** environ;

namespace rocforge::emulated {
namespace {

std::string from_environment(const char* name, const char* otherwise) {
    const char* const value = std::getenv(name);
    return value != nullptr && *value != '\0' ? value : otherwise;
}

template <class T> void append(std::string& payload, const T& value) { payload.append(reinterpret_cast<const char*>(&value), sizeof value); }

template <class T> T read(const std::string& payload, std::size_t at) {
    T value;
    if (payload.size() < at + sizeof value) throw Refused("the emulator's answer is too short");
    std::memcpy(&value, payload.data() + at, sizeof value);
    return value;
}

// Starts python with the two descriptors as numbers 3 and 4.
int start(const std::string& arch, int socket, const Arena& arena) {
    const std::string python = from_environment("ROCFORGE_EMULATOR_PYTHON", "python3"),
                      cache = from_environment("ROCFORGE_EMULATOR_CACHE", ROCFORGE_EMULATOR_CACHE);
    const std::string address = std::to_string(arena.address()), bytes = std::to_string(Arena::bytes());
    const char* const arguments[] = {python.c_str(),  "-B",          ROCFORGE_EMULATOR_SERVER, arch.c_str(),  "3",    "4",
                                     address.c_str(), bytes.c_str(), ROCFORGE_EMULATOR_WAVES,  cache.c_str(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    // Through numbers above both, so that neither overwrites the other.
    const int high_socket = fcntl(socket, F_DUPFD_CLOEXEC, 10), high_arena = fcntl(arena.file(), F_DUPFD_CLOEXEC, 10);
    posix_spawn_file_actions_adddup2(&actions, high_socket, 3);
    posix_spawn_file_actions_adddup2(&actions, high_arena, 4);
    pid_t process = -1;
    const int failed = posix_spawnp(&process, python.c_str(), &actions, nullptr, const_cast<char* const*>(arguments), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(high_socket);
    close(high_arena);
    if (failed != 0)
        throw Refused(python + " cannot be started: " + std::strerror(failed) + "; name a python3 of at least 3.11 in ROCFORGE_EMULATOR_PYTHON");
    return process;
}

}  // namespace

Server::Server(const std::string& arch, const Arena& arena) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw Refused(std::string("socketpair: ") + std::strerror(errno));
    socket_ = ends[0];
    process_ = start(arch, ends[1], arena);
    close(ends[1]);
    answer();
}

Server::~Server() {
    close(socket_);
    if (process_ > 0) waitpid(process_, nullptr, 0);
}

void Server::send(const void* data, std::size_t bytes) {
    for (const char* at = static_cast<const char*>(data); bytes > 0;) {
        const ssize_t sent = ::send(socket_, at, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) throw Refused("the emulator's process has ended; what it printed says why");
        at += sent;
        bytes -= static_cast<std::size_t>(sent);
    }
}

void Server::receive(void* data, std::size_t bytes) {
    for (char* at = static_cast<char*>(data); bytes > 0;) {
        const ssize_t received = recv(socket_, at, bytes, 0);
        if (received < 0 && errno == EINTR) continue;
        if (received <= 0) throw Refused("the emulator's process has ended; what it printed says why");
        at += received;
        bytes -= static_cast<std::size_t>(received);
    }
}

std::string Server::answer() {
    std::uint32_t head[2];
    receive(head, sizeof head);
    std::string payload(head[1], '\0');
    receive(payload.data(), payload.size());
    if (head[0] == 2) throw Absent(payload);
    if (head[0] != 0) throw Refused(payload);
    return payload;
}

std::string Server::ask(Kind kind, std::string_view payload) {
    const std::uint32_t head[2] = {static_cast<std::uint32_t>(kind), static_cast<std::uint32_t>(payload.size())};
    send(head, sizeof head);
    send(payload.data(), payload.size());
    return answer();
}

std::uint32_t Server::load(std::string_view code_object) { return read<std::uint32_t>(ask(Kind::load, code_object), 0); }

Server::Kernel Server::kernel(std::uint32_t module, std::string_view name) {
    std::string payload;
    append(payload, module);
    payload += name;
    const std::string found = ask(Kind::kernel, payload);
    Kernel kernel{read<std::uint32_t>(found, 0), {}};
    for (std::size_t at = 4; at < found.size(); at += sizeof(Kernel::Argument)) kernel.arguments.push_back(read<Kernel::Argument>(found, at));
    return kernel;
}

void Server::launch(const Kernel& kernel, const std::uint32_t (&grid)[3], const std::uint32_t (&block)[3], std::uint32_t shared_bytes,
                    std::string_view arguments) {
    std::string payload;
    append(payload, kernel.number);
    append(payload, grid);
    append(payload, block);
    append(payload, shared_bytes);
    payload += arguments;
    ask(Kind::launch, payload);
}

void Server::allow(const Arena::Pages& pages, bool allowed) {
    std::string payload;
    append(payload, pages);
    append(payload, std::uint64_t{allowed});
    ask(Kind::allow, payload);
}

}  // namespace rocforge::emulated
