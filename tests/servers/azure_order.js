// Azure lists folders and blobs in one order of names, on which ABFS relies to know a folder and its marker for one thing.
// Azurite lists all folders first, and a partitioned write then fails at its commit. Loaded into Azurite, this puts them in order.
const { ServerResponse } = require("http");
const ITEM = /<BlobPrefix>.*?<\/BlobPrefix>|<Blob>.*?<\/Blob>/gs;
const name = (item) => item.match(/<Name[^>]*>(.*?)<\/Name>/s)[1];
const inOrder = (chunk) => {
  const text = String(chunk);
  if (!text.includes("<BlobPrefix>")) return chunk;
  const items = text.match(ITEM).sort((a, b) => (name(a) < name(b) ? -1 : 1));
  return text.replace(ITEM, () => items.shift());
};
for (const method of ["write", "end"]) {
  const send = ServerResponse.prototype[method];
  ServerResponse.prototype[method] = function (chunk, ...more) {
    const listed = typeof chunk === "string" || Buffer.isBuffer(chunk) ? chunk.slice(0, 5).toString() === "<?xml" : false;
    return send.call(this, listed ? inOrder(chunk) : chunk, ...more);
  };
}
