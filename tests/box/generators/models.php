<?php
// Sends with the models that openapi-generator generates for PHP; run by ../test_generators.py.
// Its API classes need Guzzle, which only Composer installs: here curl carries what the models write and read.
declare(strict_types=1);

namespace {
    if (!function_exists('mb_strlen')) { // as symfony/polyfill-mbstring does
        function mb_strlen(string $text): int
        {
            return iconv_strlen($text, 'UTF-8');
        }
    }
}

namespace OpenAPI\Client {

[, $lib, $url, $key, $clientId] = $argv;
require "$lib/ObjectSerializer.php";
require "$lib/Model/ModelInterface.php";
foreach (glob("$lib/Model/*.php") as $model) {
    require_once $model;
}

function ask(string $url, array $headers, ?string $body = null): array
{
    $request = curl_init($url);
    curl_setopt_array($request, [CURLOPT_RETURNTRANSFER => true, CURLOPT_HTTPHEADER => $headers]);
    if ($body !== null) {
        curl_setopt($request, CURLOPT_POSTFIELDS, $body);
    }
    $answer = curl_exec($request);
    if ($answer === false) {
        throw new \RuntimeException(curl_error($request));
    }
    return [curl_getinfo($request, CURLINFO_RESPONSE_CODE), json_decode($answer)];
}

function read(object $answer, string $model): object
{
    $read = ObjectSerializer::deserialize($answer, "\\OpenAPI\\Client\\Model\\$model");
    if ($read->listInvalidProperties() !== []) {
        throw new \RuntimeException(implode(', ', $read->listInvalidProperties()));
    }
    return $read;
}

$headers = ["X-API-Key: $key", "X-Client-ID: $clientId", 'Content-Type: application/json'];
$sent = [];
foreach (['high', 2] as $priority) {
    $body = new Model\SendBody(['to' => '+33612345678', 'message' => 'Bonjour']);
    $body->setPriority($priority);
    if (!$body->valid()) {
        throw new \RuntimeException(implode(', ', $body->listInvalidProperties()));
    }
    $json = json_encode(ObjectSerializer::sanitizeForSerialization($body));
    [, $answer] = ask("$url/v1/sms/send", $headers, $json);
    $sent[] = read($answer, 'AcceptedAnswer');
}
[, $answer] = ask("$url/v1/sms/status/{$sent[0]->getMessageId()}", $headers);
$status = read($answer, 'MessageAnswer');
[, $answer] = ask("$url/v1/sms/history?limit=2", $headers);
$history = read($answer, 'HistoryAnswer');
[, $answer] = ask("$url/v1/sms/send", $headers, '{"to":"+33000","message":"x"}');
$refused = read($answer, 'ErrorAnswer');
echo json_encode([
    'sent' => array_map(fn ($each) => $each->getMessageId(), $sent),
    'priorities' => array_map(fn ($each) => $each->getPriority(), $sent),
    'status' => $status->getMessageId(),
    'listed' => array_map(fn ($each) => $each->getMessageId(), $history->getData()),
    'refused' => $refused->getError()->getCode(),
]);

}
