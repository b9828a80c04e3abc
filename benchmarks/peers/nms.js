// Node-Media-Server on loopback with as little as it can do: node nms.js FOLDER CONFIG
// FOLDER is where its package lies, CONFIG is JSON.
const NodeMediaServer = require(process.argv[2]);
new NodeMediaServer(JSON.parse(process.argv[3])).run();
