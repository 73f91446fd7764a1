//! Redis: the second tier of the caches, two-tier caches, and the view of a server.
