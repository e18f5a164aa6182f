-- A private Prosody, written anew at every start. Change copilot/local/templates/prosody.cfg.lua instead.
-- TLS on the client port, accounts, presence and one chat-room service; no federation, no HTTP, no mailboxes.

data_path = $data
pidfile = $pidfile
log = { info = "*console" }

interfaces = { $listen }
c2s_ports = { $port }
c2s_direct_tls_ports = {}
s2s_ports = {}
s2s_direct_tls_ports = {}
http_ports = {}
https_ports = {}

modules_enabled = { "roster", "saslauth", "tls", "disco", "ping", "time", "version"$more_modules }
-- offline: a message to an agent that is away must bounce or vanish, for acknowledgements repeat it.
modules_disabled = { "offline", "s2s", "s2s_auth_certs" }
admins = { $admins }

authentication = "internal_hashed"
storage = "internal"
allow_registration = false

c2s_require_encryption = true
certificates = $certificates
ssl = { certificate = $certificate, key = $key, protocol = "tlsv1_2+" }

-- Nagle's algorithm costs 40 ms a hop. A silent client gets a keep-alive from the kernel after a minute and a
-- space from Prosody after two: a dead one is found when these stay without an answer.
network_settings = { nagle = false, tcp_keepalive = 60, read_timeout = 120, tcp_backlog = 1024 }
-- On the wire: a job description with its list of files, encrypted and in base64, is less.
c2s_stanza_size_limit = 1024 * 1024
-- At the end, clients get this many seconds to close their streams.
c2s_close_timeout = 2

VirtualHost $domain

-- Agents meet here and are seen by the heartbeat; a room needs no owner to be configured before it opens.
Component $rooms "muc"
    restrict_room_creation = "local"
    muc_room_locking = false
