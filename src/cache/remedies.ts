/** What would have made a miss a hit: one sentence a reason, addressed to whoever owns the backend or the command line. */
import type { Reason, StorageReason } from '../core/reasons.ts'

/** For reasons of the lookup. */
export const lookupRemedies: Partial<Record<Reason, string>> = {
  'vary-miss':
    'Send the same value of the field, have the backend vary on less, or take it out of Vary with --cache-key -header:<name>.',
  'evicted-size': 'A larger --cache-size would have kept it.',
  purged: 'Nothing: it was purged by hand.',
  'invalidated-by-unsafe': 'Nothing: a successful unsafe request to the same URI must invalidate it.',
  expired:
    'A longer max-age, stale-while-revalidate, or an ETag or Last-Modified so that it can be revalidated.',
  'must-revalidate':
    'A longer max-age, or stale-while-revalidate without must-revalidate, proxy-revalidate and s-maxage.',
  'no-cache-stored':
    'The backend says no-cache: each use asks it first. Use max-age instead where that is not meant.',
  'req-no-cache':
    'The client sends Cache-Control: no-cache (a browser with its cache disabled and Postman do). Leave it out.',
  'req-max-age': 'The client limits the age it accepts. Leave max-age out of the request.',
  'req-min-fresh': 'The client wants it to stay fresh for longer. Leave min-fresh out of the request.',
  'req-pragma': 'The client sends Pragma: no-cache. Leave it out.',
  'req-no-store': 'The client sends Cache-Control: no-store. Leave it out.',
  method: 'Only GET and HEAD are answered from the cache.',
  'request-body': 'Send the GET without a body.',
  'rule-bypass':
    'Leave the field out that makes this request pass for another one or a precondition (X-HTTP-Method-Override, If-Match …).',
  'range-incomplete': 'Request the whole once; ranges are then served out of it.',
  'store-down': 'Start Redis, or use --cache memory.',
  'too-slow-store': 'A longer --cache-timeout, or a Redis nearer by.',
}

/** For reasons why the last answer was not stored. */
export const storageRemedies: Record<StorageReason, string> = {
  'no-store':
    'The backend says no-store. Without it, and with max-age=…, the answer is stored; --cache-mode force stores it all the same.',
  'req-no-store': 'The client sends Cache-Control: no-store. Leave it out.',
  private:
    "The backend says private. Use public or nothing where others may have it; --private treats this cache as one user's.",
  authorization:
    'The request carries Authorization. public, s-maxage or must-revalidate in the answer allows to store it.',
  'set-cookie-policy':
    'It sets a cookie, which others would get with it. Do not set one where nothing changes; or Cache-Control: max-age=… says that it is for all, unless --no-cache-cookies.',
  'status-uncacheable': 'A status like this needs explicit freshness: Cache-Control: max-age=….',
  'must-understand': 'must-understand forbids it for a status that is not known here.',
  'no-freshness':
    'The backend says nothing about freshness: Cache-Control: max-age=60 would do; here --ttl 60s.',
  'already-stale':
    'Its own fields make it stale at once: a lifetime of 0 (max-age=0, an Expires that is past or no date, a number that is none), or an Age or Date beyond it. Give it a max-age=… in whole seconds, or an ETag to be validated by.',
  'vary-star': 'Vary: * makes every request different. Name the fields that matter.',
  incomplete: 'The body was shorter than its Content-Length: look at the backend.',
  aborted: 'The exchange was aborted before its end.',
  'too-large': 'A larger --cache-max-entry.',
  streaming: 'An endless stream cannot be stored.',
  method: 'Answers to this method are not stored; GET it once.',
  range:
    'Request the whole: only a part that says where it belongs is stored, and no error in answer to a Range.',
  'not-modified':
    'The client has it already and the cache has not. A request without If-None-Match and If-Modified-Since fills the cache.',
  invalidated: 'The URI was invalidated while the answer was on its way. The next answer is stored.',
  'rule-bypass': 'A local rule keeps this request out of the cache.',
  'store-down': 'Start Redis, or use --cache memory.',
}
