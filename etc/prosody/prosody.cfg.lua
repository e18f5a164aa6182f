-- Prosody (0.12 or later) as Co-Pilot needs it; etc/prosody/prosody.cfg.lua in the sources. The embedded system and the
-- tests run a private Prosody with this very text, written anew at every start, so do not edit that one. In yours put
-- in your host, addresses and certificates; the rest has its reason beside it.
-- TLS on the client port, accounts, presence and one chat-room service; no federation, no HTTP, no mailboxes.

data_path = "/var/lib/prosody"
pidfile = "/run/prosody/prosody.pid"
log = { info = "*console" }

interfaces = { "*", "::" }
c2s_ports = { 5222 }
c2s_direct_tls_ports = {}
s2s_ports = {}
s2s_direct_tls_ports = {}
http_ports = {}
https_ports = {}

modules_enabled = { "roster", "saslauth", "tls", "disco", "ping", "time", "version", "limits", "admin_adhoc" }
-- Not here, on purpose:
-- smacks: it would keep a dead agent's session, and so its presence, for minutes;
-- offline: a message to an agent that is away must bounce or vanish, for acknowledgements repeat it.
modules_disabled = { "offline", "s2s", "s2s_auth_certs" }
-- Bare JIDs that may manage accounts by ad-hoc commands (XEP-0133), where "admin_adhoc" is among the modules: that of the job
-- manager, which lets agents in (copilot bundle) and throws them out (copilot agents revoke).
admins = { "jm@example.org" }

authentication = "internal_hashed"
storage = "internal"
allow_registration = false

c2s_require_encryption = true
certificates = "/etc/prosody/certs"
ssl = { certificate = "/etc/prosody/certs/example.org.crt", key = "/etc/prosody/certs/example.org.key", protocol = "tlsv1_2+" }

-- Nagle's algorithm costs 40 ms a hop. A silent client gets a keep-alive from the kernel after a minute and a
-- space from Prosody after two: a dead one is found when these stay without an answer.
network_settings = { nagle = false, tcp_keepalive = 60, read_timeout = 120, tcp_backlog = 1024 }
-- Collect garbage when there is twice as much memory in use as after the last time. By default that is 5 % more, and half of
-- Prosody's work on our messages was to collect.
gc = { threshold = 200 }
-- What one connection may send: an agent with 24 slots and jobs of no length sends half of that. Who sends more is read
-- more slowly, and nobody else is. Services speak for the whole fleet on one connection: name yours here.
limits = { c2s = { rate = "1mb/s" } }
unlimited_jids = { "jm@example.org", "monitor@example.org", "heartbeat@example.org" }
-- A connection that has not logged in after so many seconds is closed, however slowly it goes on talking, and a stanza of
-- one may have so many bytes. A whole fleet that comes back waits for nearly two minutes.
c2s_timeout = 150
c2s_unauthed_stanza_size_limit = 10000
-- On the wire: a job description with its list of files, encrypted and in base64, is less.
c2s_stanza_size_limit = 1024 * 1024
-- At the end, clients get this many seconds to close their streams.
c2s_close_timeout = 2

-- A message to a bare JID reaches every session of the account: all have the same priority. Sessions are not limited.
VirtualHost "example.org"

-- Components sit here and are found by copilot-heartbeat. The job manager makes the rooms and lets others in; they are
-- as it wants them from the first moment, and open when it has said so: for members only, who see the real addresses of
-- moderators and nobody else, so that a fleet that comes back does not tell each agent of each other.
Component "conference.example.org" "muc"
    restrict_room_creation = "local"
    muc_room_locking = true
    muc_room_default_members_only = true
    muc_room_default_public = true
    muc_room_default_public_jids = true
    muc_room_default_presence_broadcast = { moderator = true, participant = false, visitor = false }
    muc_room_default_history_length = 0
    -- Rooms in memory; by default 100. One for 200 agents, and some to spare.
    muc_room_cache_size = 1010
