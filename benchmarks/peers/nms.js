// Node-Media-Server on loopback with a minimal configuration: node nms.js FOLDER CONFIG
// FOLDER is the folder of its package, CONFIG is JSON.
const NodeMediaServer = require(process.argv[2]);
new NodeMediaServer(JSON.parse(process.argv[3])).run();
