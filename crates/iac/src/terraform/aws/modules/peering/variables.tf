variable "name" {
  description = "Name of the connection."
  type        = string
}

variable "one" {
  description = "Outputs of the network module of the region that asks."
  type = object({
    vpc_id          = string
    cidr            = string
    route_table_ids = list(string)
  })
}

variable "other" {
  description = "Outputs of the network module of the region that accepts."
  type = object({
    vpc_id          = string
    cidr            = string
    route_table_ids = list(string)
  })
}

variable "other_region" {
  description = "AWS name of the region that accepts."
  type        = string
}
