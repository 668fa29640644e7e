-- The catalogue of one account: what is known of its archive. The authoritative description of
-- every column lives here. All times are Unix seconds; all text is UTF-8 and untrusted.

-- Facts about the file itself: `identity` (which archive and which naming rules it holds; another
-- identity makes another catalogue), `clock` (see media.seen), and small memories with a key of
-- their own (`filter:...`, `oldest`, `limiter`).
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL                     -- JSON
) WITHOUT ROWID;

-- One row a media, kept after it is gone (`live` 0), so that its inode is never another's.
CREATE TABLE media (
    inode INTEGER PRIMARY KEY AUTOINCREMENT, -- 2 .. 2^40-1; never reused
    id TEXT NOT NULL UNIQUE,                 -- the service's id
    live INTEGER NOT NULL DEFAULT 1,         -- 0: gone; all that was said of it is then emptied
    dated INTEGER NOT NULL,                  -- 1: the account's own listing shows it, so by-date does
    name TEXT NOT NULL,                      -- file name in every view
    base TEXT NOT NULL,                      -- the name it would have if no other clashed
    created REAL NOT NULL,
    day INTEGER NOT NULL,                    -- proleptic ordinal of `created` in the account's zone
    size INTEGER,                            -- bytes; NULL where the service does not tell
    owner TEXT,                              -- person.id
    links INTEGER NOT NULL DEFAULT 1,        -- names in by-date, by-user and by-conversation
    trashed INTEGER NOT NULL DEFAULT 0,      -- 1: in the vendor's trash, and so in no other view;
                                             -- 2: so too, and by-date did not show it before
    kept TEXT NOT NULL DEFAULT '{}',         -- JSON: what was written to fields that no record shows
    seen INTEGER NOT NULL,                   -- the catalogue's clock when the last page that showed it was
                                             -- asked for; of one that is gone, when it was found to be
    fields TEXT NOT NULL                     -- JSON of the rest of model.Media
);
CREATE UNIQUE INDEX media_name ON media(name) WHERE live;
CREATE INDEX media_base ON media(base) WHERE live;
CREATE INDEX media_day ON media(day) WHERE live AND dated;
CREATE INDEX media_owner ON media(owner) WHERE live;
CREATE INDEX media_created ON media(created, id) WHERE live AND dated;
CREATE INDEX media_trashed ON media(created, id) WHERE live AND trashed;

-- Base names that two media wanted: how far their hashes are drawn out. Never lowered, so that the
-- end of one media does not rename another.
CREATE TABLE clash (
    base TEXT PRIMARY KEY,
    level INTEGER NOT NULL
) WITHOUT ROWID;

-- Which conversation a media was listed in. Records of some services do not say, so this is learnt.
CREATE TABLE member (
    conversation TEXT NOT NULL,
    inode INTEGER NOT NULL REFERENCES media(inode),
    seen INTEGER NOT NULL,                   -- as media.seen
    PRIMARY KEY (conversation, inode)
) WITHOUT ROWID;
CREATE INDEX member_inode ON member(inode);

-- Users, as the newest record names them. `folder` is the directory name made of both.
CREATE TABLE person (
    id TEXT PRIMARY KEY,
    name TEXT,
    folder TEXT NOT NULL UNIQUE,
    named REAL NOT NULL                      -- `created` of the record that gave the name
) WITHOUT ROWID;

-- Conversations that have a name, as the newest record gives it; `folder` is made of both.
CREATE TABLE conversation (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    folder TEXT NOT NULL UNIQUE,
    named REAL NOT NULL                      -- `created` of the record that gave the name
) WITHOUT ROWID;

-- Inodes of what is not a media: views, years, months, days, conversations, users, symlinks.
CREATE TABLE directory (
    inode INTEGER PRIMARY KEY AUTOINCREMENT, -- from 2^40
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    changed REAL NOT NULL,                   -- st_mtime: the last change found in it
    UNIQUE (kind, key)
);

-- Coverage by date: a row for each day that was listed whole, media or not.
CREATE TABLE day (
    day INTEGER PRIMARY KEY,                 -- as media.day
    listed REAL NOT NULL                     -- when the listing was complete
);

-- Coverage of other scopes, by the scope's key, with their last failure.
CREATE TABLE scope (
    key TEXT PRIMARY KEY,
    listed REAL,                             -- when it was last listed whole; NULL: never
    error TEXT,                              -- why the last try failed; NULL: it did not
    failed REAL                              -- when
) WITHOUT ROWID;

-- Crawls under way: where they go on, also after a restart.
CREATE TABLE crawl (
    key TEXT PRIMARY KEY,
    started REAL NOT NULL,
    touched REAL NOT NULL,                   -- its last page
    clock INTEGER NOT NULL,                  -- the catalogue's clock at its start
    since REAL                               -- all created before this has been read; NULL: nothing
) WITHOUT ROWID;

-- What listings found, in the order in which it was found: the lines of changes.jsonl. What names a media
-- (name, was, views) goes when the media does; its lines keep their length.
CREATE TABLE change (
    start INTEGER PRIMARY KEY,               -- bytes of all lines before it, also of those that are gone
    length INTEGER NOT NULL,                 -- bytes of its line
    time REAL NOT NULL,                      -- when it was found
    kind TEXT NOT NULL,
    media TEXT NOT NULL,                     -- media.id
    name TEXT,
    was TEXT,                                -- the name before
    views TEXT                               -- JSON: the directories that it was in then
);
CREATE INDEX change_media ON change(media);
CREATE TRIGGER media_gone AFTER UPDATE OF live ON media WHEN OLD.live AND NOT NEW.live
BEGIN
    UPDATE change SET name = NULL, was = NULL, views = NULL WHERE media = NEW.id;
END;

-- What media are searched by: a row each, written when somebody searches; see words.py.
CREATE TABLE words (
    inode INTEGER PRIMARY KEY,
    created REAL NOT NULL,                   -- as media.created
    text TEXT NOT NULL
);
-- Media that changed since their row was written; those above the highest row have none yet.
CREATE TABLE unworded (
    inode INTEGER PRIMARY KEY
);
CREATE TRIGGER media_reworded AFTER UPDATE OF live, name, created, fields ON media
WHEN OLD.live IS NOT NEW.live OR OLD.name IS NOT NEW.name
    OR OLD.created IS NOT NEW.created OR OLD.fields IS NOT NEW.fields
BEGIN
    INSERT OR IGNORE INTO unworded
    SELECT NEW.inode WHERE NEW.live AND NEW.inode <= (SELECT MAX(inode) FROM words);
    DELETE FROM words WHERE inode = NEW.inode;
END;
