# A DynamoDB global table. Every region reads and writes; there is no writer to fail over.
#
# The table and its replicas are one thing to Terraform, in the region where the table was made: while that is dark nothing of their shape can
# be changed, and nothing needs to be. The keys are pk and sk, texts both, as of a table that holds what an application likes: no attribute
# of a key can be changed later, so change them here before the first apply.

resource "aws_dynamodb_table" "this" {
  name         = var.name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pk"
  range_key    = "sk"

  deletion_protection_enabled = true
  stream_enabled              = true
  stream_view_type            = "NEW_AND_OLD_IMAGES"

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }

  dynamic "replica" {
    for_each = var.replicas

    content {
      region_name                 = replica.key
      kms_key_arn                 = replica.value
      consistency_mode            = var.strong ? "STRONG" : "EVENTUAL"
      point_in_time_recovery      = true
      propagate_tags              = true
      deletion_protection_enabled = true
    }
  }

  dynamic "global_table_witness" {
    for_each = var.witness == null ? [] : [var.witness]

    content {
      region_name = global_table_witness.value
    }
  }

  tags = { "lifeboat:backup" = var.app }
}

# In every region, for each that receives from it. With strong consistency there is no lag to measure.
resource "aws_cloudwatch_metric_alarm" "lag" {
  for_each = var.strong ? {} : {
    for pair in setproduct(keys(var.alarm_actions), keys(var.alarm_actions)) :
    "${pair[0]}-${pair[1]}" => { from = pair[0], to = pair[1] } if pair[0] != pair[1]
  }

  region              = each.value.from
  alarm_name          = "${var.name}-replication-lag-${each.value.to}"
  alarm_description   = "A failover now could lose more than the objective allows."
  namespace           = "AWS/DynamoDB"
  metric_name         = "ReplicationLatency"
  dimensions          = { TableName = aws_dynamodb_table.this.name, ReceivingRegion = each.value.to }
  statistic           = "Average"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.lag_alarm_milliseconds
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions[each.value.from]
  ok_actions          = var.alarm_actions[each.value.from]
}
