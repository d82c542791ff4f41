<?php
// Calls of Roundcube's IMAP class, one a line of JSON: [connection, method, arguments...]; each answer is a line of JSON.
// The first words for a connection are [connection, "connect", user, password]. Arguments: its library, the port.
error_reporting(E_ALL & ~E_NOTICE & ~E_DEPRECATED);
ini_set('display_errors', 'stderr');
define('RCUBE_INSTALL_PATH', $argv[1] . '/');
require $argv[1] . '/program/lib/Roundcube/bootstrap.php';
$connections = [];
while (($line = fgets(STDIN)) !== false) {
    [$name, $method, ] = $words = json_decode($line, true);
    $arguments = array_slice($words, 2);
    if ($method === 'connect') {
        $connections[$name] = new rcube_imap_generic();
        $arguments = ['localhost', $arguments[0], $arguments[1],
                      ['port' => (int) $argv[2], 'ssl_mode' => null, 'auth_type' => 'PLAIN', 'timeout' => 60]];
    }
    $answer = $connections[$name]->$method(...$arguments);
    echo json_encode(['answer' => $answer, 'error' => $connections[$name]->error], JSON_PARTIAL_OUTPUT_ON_ERROR), "\n";
}
